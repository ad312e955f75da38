//! Users' modules: WebAssembly that imports nothing, burns no more fuel and takes no more memory than its task says, and can be
//! stopped. What it exports: `memory`; `input(bytes: i32) -> i32`, where to put the input; `run(address: i32, bytes: i32,
//! task: i32, tasks: i32) -> i64`, which gives the result's address in the upper half and its length in the lower.

use wasmi::{Config, Engine, Linker, Memory, Module, Store, StoreLimits, StoreLimitsBuilder, TypedResumableCall};

use crate::outcome::{Failed, Outcome, RESULT_BYTES_MAX};

/// Fuel between two looks at whether somebody still wants the result: a few hundredths of a second.
const FUEL_A_LOOK: u64 = 20_000_000;
/// A module.
pub(crate) const MODULE_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// Elements of tables: as much as a module needs that calls functions by address.
const TABLE_ELEMENTS_MAX: usize = 65_536;

/// What one task may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) fuel: u64,
    pub(crate) memory: u64,
}

struct Run {
    store: Store<StoreLimits>,
    /// Fuel that is left beside what the store has.
    left: u64,
}

impl Run {
    /// Gives the store its next portion, and at least what it asks for.
    fn refuel(&mut self, required: u64) -> Result<(), Failed> {
        let has = self.store.get_fuel().map_err(|_| Failed::Module)?;
        let portion = FUEL_A_LOOK.max(required.saturating_sub(has)).min(self.left);
        if portion == 0 || has + portion < required {
            return Err(Failed::Fuel);
        }
        self.left -= portion;
        self.store.set_fuel(has + portion).map_err(|_| Failed::Module)
    }
}

/// Runs one task. Nothing, if it is not wanted any more.
pub(crate) fn run(
    module: &[u8],
    input: &[u8],
    (task, tasks): (u32, u32),
    limits: Limits,
    is_wanted: &dyn Fn() -> bool,
) -> Option<Outcome> {
    match attempt(module, input, (task, tasks), limits, is_wanted) {
        Ok(Some(result)) => Some(Outcome::Done(result)),
        Ok(None) => None,
        Err(why) => Some(Outcome::Failed(why)),
    }
}

fn attempt(
    module: &[u8],
    input: &[u8],
    (task, tasks): (u32, u32),
    limits: Limits,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Option<Vec<u8>>, Failed> {
    if module.len() > MODULE_BYTES_MAX {
        return Err(Failed::Module);
    }
    let mut config = Config::default();
    config.consume_fuel(true);
    let engine = Engine::new(&config);
    let module = Module::new(&engine, module).map_err(|_| Failed::Module)?;
    let bounds = StoreLimitsBuilder::new()
        .memory_size(usize::try_from(limits.memory).unwrap_or(usize::MAX))
        .table_elements(TABLE_ELEMENTS_MAX)
        .instances(1)
        .memories(1)
        .tables(1)
        .build();
    let mut store = Store::new(&engine, bounds);
    store.limiter(|bounds| bounds);
    let mut run = Run {
        store,
        left: limits.fuel,
    };
    run.refuel(0)?;
    // What a module does as it starts is short, or too long.
    let instance = Linker::new(&engine)
        .instantiate_and_start(&mut run.store, &module)
        .map_err(|error| why(&error, Failed::Module))?;
    let memory = instance.get_memory(&run.store, "memory").ok_or(Failed::Module)?;
    let place = instance
        .get_typed_func::<i32, i32>(&run.store, "input")
        .map_err(|_| Failed::Module)?;
    let work = instance
        .get_typed_func::<(i32, i32, i32, i32), i64>(&run.store, "run")
        .map_err(|_| Failed::Module)?;

    let bytes = i32::try_from(input.len()).map_err(|_| Failed::Input)?;
    let begun = place.call_resumable(&mut run.store, bytes);
    let Some(address) = complete(&mut run, begun, is_wanted)? else {
        return Ok(None);
    };
    // An address is unsigned.
    memory
        .write(&mut run.store, address.cast_unsigned() as usize, input)
        .map_err(|_| Failed::Input)?;
    let arguments = (address, bytes, task.cast_signed(), tasks.cast_signed());
    let begun = work.call_resumable(&mut run.store, arguments);
    match complete(&mut run, begun, is_wanted)? {
        Some(place) => result(&run.store, &memory, place.cast_unsigned()).map(Some),
        None => Ok(None),
    }
}

/// Goes on until the call returns, or must not go on.
fn complete<T: wasmi::WasmResults>(
    run: &mut Run,
    begun: Result<TypedResumableCall<T>, wasmi::Error>,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Option<T>, Failed> {
    let mut call = begun.map_err(|error| why(&error, Failed::Trap))?;
    loop {
        call = match call {
            TypedResumableCall::Finished(value) => return Ok(Some(value)),
            // There are no functions of the host.
            TypedResumableCall::HostTrap(_) => return Err(Failed::Trap),
            TypedResumableCall::OutOfFuel(_) if !is_wanted() => return Ok(None),
            TypedResumableCall::OutOfFuel(paused) => {
                run.refuel(paused.required_fuel())?;
                paused
                    .resume(&mut run.store)
                    .map_err(|error| why(&error, Failed::Trap))?
            }
        };
    }
}

fn why(error: &wasmi::Error, otherwise: Failed) -> Failed {
    match error.as_trap_code() {
        Some(wasmi::TrapCode::OutOfFuel) => Failed::Fuel,
        Some(_) => Failed::Trap,
        None => otherwise,
    }
}

fn result(store: &Store<StoreLimits>, memory: &Memory, place: u64) -> Result<Vec<u8>, Failed> {
    let [address, length] = [place >> 32, place & 0xFFFF_FFFF].map(|half| usize::try_from(half).unwrap_or(usize::MAX));
    if length > RESULT_BYTES_MAX {
        return Err(Failed::Result);
    }
    let end = address.checked_add(length).ok_or(Failed::Result)?;
    memory
        .data(store)
        .get(address..end)
        .map(<[u8]>::to_vec)
        .ok_or(Failed::Result)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Instant;

    use super::*;

    const LIMITS: Limits = Limits {
        fuel: 200_000_000,
        memory: 2 * 1_024 * 1_024,
    };

    fn module(body: &str) -> Vec<u8> {
        let text = format!(
            "(module (memory (export \"memory\") 1)
               (func (export \"input\") (param i32) (result i32) (i32.const 1024))
               (func (export \"run\") (param i32 i32 i32 i32) (result i64) {body}))"
        );
        wat::parse_str(text).unwrap()
    }

    fn outcome(module: &[u8], input: &[u8]) -> Outcome {
        run(module, input, (0, 1), LIMITS, &|| true).unwrap()
    }

    #[test]
    fn a_module_gives_its_result() {
        let echo = module(
            "(i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))",
        );
        assert_eq!(outcome(&echo, b"some input"), Outcome::Done(b"some input".to_vec()));
        assert_eq!(outcome(&echo, b""), Outcome::Done(vec![]));
        assert_eq!(
            outcome(&echo, &[0; 70_000]),
            Outcome::Failed(Failed::Input),
            "it has 64 KiB"
        );
    }

    #[test]
    fn hostile_modules_harm_only_their_own_task() {
        let begun = Instant::now();
        let endless = module("(loop (br 0)) (i64.const 0)");
        assert_eq!(outcome(&endless, b""), Outcome::Failed(Failed::Fuel));
        let deep = wat::parse_str(
            "(module (memory (export \"memory\") 1)
               (func (export \"input\") (param i32) (result i32) (i32.const 0))
               (func $f (export \"run\") (param i32 i32 i32 i32) (result i64)
                 (call $f (local.get 0) (local.get 1) (local.get 2) (local.get 3))))",
        );
        assert_eq!(outcome(&deep.unwrap(), b""), Outcome::Failed(Failed::Trap));
        let bomb = module("(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (i64.const 64)");
        assert_eq!(
            outcome(&bomb, b""),
            Outcome::Done(vec![0; 64]),
            "it gets no more than it asked for"
        );
        let large = wat::parse_str("(module (memory (export \"memory\") 1000))").unwrap();
        assert_eq!(outcome(&large, b""), Outcome::Failed(Failed::Module));
        let trap = module("(unreachable)");
        assert_eq!(outcome(&trap, b""), Outcome::Failed(Failed::Trap));
        let huge = module("(i64.const 0x0000_0000_ffff_ffff)");
        assert_eq!(outcome(&huge, b""), Outcome::Failed(Failed::Result));
        let outside = module("(i64.const 0x7fff_ffff_0000_0010)");
        assert_eq!(outcome(&outside, b""), Outcome::Failed(Failed::Result));
        let fill = module("(memory.fill (i32.const 0) (i32.const 1) (i32.const -1)) (i64.const 0)");
        assert!(matches!(
            outcome(&fill, b""),
            Outcome::Failed(Failed::Fuel | Failed::Trap)
        ));
        let asks = wat::parse_str("(module (import \"env\" \"f\" (func)) (memory (export \"memory\") 1))").unwrap();
        assert_eq!(outcome(&asks, b""), Outcome::Failed(Failed::Module));
        let starts =
            wat::parse_str("(module (memory (export \"memory\") 1) (func $s (loop (br 0))) (start $s))").unwrap();
        assert_eq!(outcome(&starts, b""), Outcome::Failed(Failed::Fuel));
        assert_eq!(outcome(b"no module", b""), Outcome::Failed(Failed::Module));
        eprintln!("eleven hostile modules in {:?}", begun.elapsed());
    }

    #[test]
    fn who_is_not_wanted_stops() {
        let endless = module("(loop (br 0)) (i64.const 0)");
        let looks = Cell::new(0);
        let limits = Limits {
            fuel: u64::MAX,
            ..LIMITS
        };
        let wanted = || {
            looks.set(looks.get() + 1);
            looks.get() < 3
        };
        assert_eq!(run(&endless, b"", (0, 1), limits, &wanted), None);
        assert_eq!(looks.get(), 3);
    }

    #[test]
    fn fuel_is_the_same_every_time() {
        let count = module(
            "(local $i i32) (loop (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 30000000)))) (i64.const 1)",
        );
        let needs = |fuel| run(&count, b"", (0, 1), Limits { fuel, ..LIMITS }, &|| true).unwrap();
        let mut bounds = (1_u64, 1_000_000_000_u64);
        for _ in 0..6 {
            let middle = bounds.0.midpoint(bounds.1);
            assert_eq!(needs(middle), needs(middle));
            match needs(middle) {
                Outcome::Failed(Failed::Fuel) => bounds.0 = middle,
                _ => bounds.1 = middle,
            }
        }
    }
}
