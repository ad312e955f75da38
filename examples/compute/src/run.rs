//! Working on one task, on a thread of its own: from a job and its inputs to the bytes that are voted on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::job::{Job, Work};
use crate::money;
use crate::outcome::Outcome;
use crate::sandbox::{self, Limits};

/// Whether somebody still wants a result; shared with who may change its mind.
#[derive(Clone, Debug)]
pub(crate) struct Wanted(Arc<AtomicBool>);

impl Wanted {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub(crate) fn cancel(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How this worker differs from an honest and quick one: for demos and tests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vice {
    pub(crate) lies: bool,
    /// Times as long.
    pub(crate) slow: u32,
}

/// How often a slow one looks at whether it is still wanted.
const LOOK: Duration = Duration::from_millis(20);

/// The bytes to vote for. Nothing, if they are not wanted any more. `inputs` are module and input, where the job has them.
pub(crate) fn run(job: &Job, inputs: &[Arc<Vec<u8>>], task: u32, wanted: &Wanted, vice: Vice) -> Option<Vec<u8>> {
    let begun = Instant::now();
    let is_wanted = || wanted.is();
    let outcome = match &job.work {
        Work::Option(call) => Outcome::Done(money::simulate_call(call, task, &is_wanted)?.to_bytes()),
        Work::Risk(portfolio) => Outcome::Done(money::simulate_losses(portfolio, task, &is_wanted)?),
        Work::Module(module) => {
            let [code, input] = inputs else { return None };
            let limits = Limits {
                fuel: module.fuel,
                memory: module.memory,
            };
            sandbox::run(code, input, (task, job.tasks), limits, &is_wanted)?
        }
    };
    let until = begun + begun.elapsed() * vice.slow.max(1);
    while Instant::now() < until {
        if !is_wanted() {
            return None;
        }
        std::thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
    }
    let mut bytes = outcome.to_bytes();
    if vice.lies
        && let Some(last) = bytes.last_mut()
    {
        *last ^= 1;
    }
    Some(bytes)
}
