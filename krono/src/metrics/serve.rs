//! Answers `GET /metrics` over HTTP, on a thread of its own.
//!
//! It refuses everything else, needs no credentials and changes nothing: whoever reaches the
//! address may read.

use super::{Metrics, text_of};
use crate::exit::Refusal;
use anyhow::Context;
use format::plan::Plan;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use prometheus_client::registry::Registry;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// What is served where.
const PATH: &str = "/metrics";

/// OpenMetrics 1.0, §"Overall structure".
const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long a connection may last: a scrape takes milliseconds.
const CONNECTION_MAX: Duration = Duration::from_secs(10);

/// A run's figures, served; the address is free again when this is dropped.
pub struct Endpoint {
    metrics: Metrics,
    address: SocketAddr,
    _runtime: Runtime,
}

impl Endpoint {
    /// Serves the figures of a run of `plan`.
    ///
    /// # Errors
    /// [`Refusal::Usage`] when the address cannot be had.
    pub fn start(address: SocketAddr, plan: &Plan) -> anyhow::Result<Endpoint> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.context("no runtime")?;
        let listener = runtime
            .block_on(TcpListener::bind(address))
            .map_err(|error| Refusal::Usage(format!("--metrics {address}: {error}")))?;
        let address = listener.local_addr().context("no address")?;
        let metrics = Metrics::default();
        let registry = Arc::new(metrics.registry(plan));
        runtime.spawn(async move {
            loop {
                // A connection that was gone before it was taken is none.
                let Ok((stream, _)) = listener.accept().await else { continue };
                let registry = registry.clone();
                tokio::spawn(async move {
                    let answer = |request: Request<Incoming>| {
                        let response = response(&registry, &request);
                        async move { Ok::<_, Infallible>(response) }
                    };
                    let service = hyper::service::service_fn(answer);
                    let http = hyper::server::conn::http1::Builder::new();
                    let served = http.serve_connection(TokioIo::new(stream), service);
                    // Whoever goes away or takes too long does not matter to the run.
                    let _ = tokio::time::timeout(CONNECTION_MAX, served).await;
                });
            }
        });
        Ok(Endpoint { metrics, address, _runtime: runtime })
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// The figures.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

fn response(registry: &Registry, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let of = |status, text: String| {
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        response
    };
    let headers = |mut response: Response<_>, name, value| {
        let value = hyper::header::HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
        response
    };
    if request.uri().path() != PATH {
        return of(StatusCode::NOT_FOUND, format!("{PATH} is all there is\n"));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let refused = of(StatusCode::METHOD_NOT_ALLOWED, "GET it\n".to_owned());
        return headers(refused, ALLOW, "GET, HEAD");
    }
    match text_of(registry) {
        Ok(text) => headers(of(StatusCode::OK, text), CONTENT_TYPE, TYPE),
        Err(error) => of(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}
