//! Standard input and output as one connection, as an ssh session has them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, Stdin, Stdout};
use tokio::sync::Notify;
use tonic::transport::server::Connected;

/// The connection.
pub(super) struct Stdio {
    input: Stdin,
    output: Stdout,
    gone: Arc<Notify>,
}

impl Stdio {
    /// It; `gone` is notified once nobody uses it any more.
    pub(super) fn new(gone: Arc<Notify>) -> Stdio {
        Stdio { input: tokio::io::stdin(), output: tokio::io::stdout(), gone }
    }
}

impl Drop for Stdio {
    fn drop(&mut self) {
        self.gone.notify_one();
    }
}

impl Connected for Stdio {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Stdio {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stdio {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.output).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_shutdown(context)
    }
}
