//! Any bytes as frames, in any order and with any time between: through the pipeline, and through a
//! worker on a port whose buffers are never clean. Both must do the same.

#![no_main]

use dataplane::frame::Arena;
use krono_fuzz::history::{self, Last, flag};
use krono_fuzz::ports::{BUFFERS, Wired};
use krono_fuzz::{Core, Fate};
use krononat::config::Filtering;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let filtering = match choice % 3 {
        0 => Filtering::AddressAndPortDependent,
        1 => Filtering::AddressDependent,
        _ => Filtering::EndpointIndependent,
    };
    let mut arena = Arena::new(BUFFERS).expect("memory");
    let mut wired = Wired::new(&mut arena, filtering);
    let (mut core, mut last, mut burst) = (Core::new(filtering), Last::default(), Vec::new());
    wired.chores(core.now());
    let flush = |core: &mut Core, wired: &mut Wired, burst: &mut Vec<Vec<u8>>| {
        let fates = core.burst(burst);
        let sent = wired.burst(burst, core.now());
        let released = std::mem::take(&mut core.released);
        let expected = fates.iter().map(|fate| &fate.sent).filter(|it| !it.is_empty());
        assert!(expected.chain(&released).eq(&sent));
        burst.clear();
        fates
    };
    for record in history::read(bytes) {
        if !burst.is_empty() && record.wait != 0 {
            see(&mut last, &flush(&mut core, &mut wired, &mut burst));
        }
        core.wait(record.wait(), |now| wired.chores(now));
        burst.push(history::frame(&record, &last));
        if record.flags & flag::TOGETHER == 0 || burst.len() == 32 {
            see(&mut last, &flush(&mut core, &mut wired, &mut burst));
        }
    }
    if !burst.is_empty() {
        flush(&mut core, &mut wired, &mut burst);
    }
    wired.chores(core.now());
    let [forwarded, answered, dropped] = core.totals();
    assert_eq!(wired.totals(), [forwarded + answered, dropped]);
    wired.finish(core.now());
    core.finish();
});

fn see(last: &mut Last, fates: &[Fate]) {
    fates.iter().for_each(|fate| last.see(fate));
}
