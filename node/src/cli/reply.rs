//! `maille reply MESH NAME --exec CMD`: a service whose answers a program gives. How it is run is in `execute.rs`.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use maille::{Caller, Serve, ServiceName};
use serde::Serialize;

use super::common::{Member, MeshOptions, NetworkOptions, shutdown};
use super::execute::Program;
use super::exit::{Failure, say};
use super::output::{Output, json_line};
use super::place::{MeshOrTicket, Place};
use super::signals::{Signal, Stop};

const EXAMPLES: &str = "\
Examples:
  Serve `greet` to the members of a mesh: answer each request with itself:
    maille reply party.example greet --exec cat
  Count words, for two members at once:
    maille reply party.example words --at-once 2 --exec wc -w

CMD is started for every request, directly: no shell looks at it or at the request. The request is its standard input, and what
it writes to standard output, up to 1 MiB, is the answer; the variable MAILLE_CALLER holds the id of the member that asks. If it
fails, the caller gets the last line of its standard error. It is killed, with all it started, when the caller gives up or its time
is over. All that follows --exec belongs to CMD. One line a request goes to standard output, and whoever reads it must go on reading.";

/// Serve requests of members by running a program
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReplyArgs {
    /// The mesh, such as party.example, or a ticket
    #[arg(value_name = "MESH")]
    mesh_or_ticket: MeshOrTicket,
    /// The service, such as greet or photos/thumbnail
    #[arg(value_name = "NAME")]
    service: ServiceName,
    /// The program to run, and its arguments
    #[arg(long, value_name = "CMD", num_args = 1.., allow_hyphen_values = true, required = true)]
    exec: Vec<OsString>,
    /// Requests at once; who asks beyond is told that this member is busy
    #[arg(long, value_name = "COUNT", default_value = "4")]
    at_once: NonZeroUsize,
    /// Print JSON objects, one a request
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    mesh: MeshOptions,
    #[command(flatten)]
    network: NetworkOptions,
}

/// A request in `--json`.
#[derive(Debug, Serialize)]
struct RequestLine {
    event: &'static str,
    caller: String,
    request_bytes: usize,
    /// Null if it was refused.
    answer_bytes: Option<usize>,
    /// What the caller was told instead.
    refused: Option<String>,
    took_ms: u64,
}

/// Runs `maille reply`.
pub(crate) async fn run(args: ReplyArgs, stop: Stop) -> Result<(), Failure> {
    let place = Place::of_mesh(Some(args.mesh_or_ticket.clone()), args.mesh.ticket.clone())?;
    let program = Program::find(&args.exec)?;
    let member = Member::join(&place, &args.network, &args.mesh, &stop).await?;
    let outcome = reply(&args, &member, program, &stop).await;
    shutdown(member.node).await;
    match outcome? {
        Signal::Interrupt => Err(Failure::Interrupted(String::new())),
        Signal::Terminate => Ok(()),
    }
}

async fn reply(args: &ReplyArgs, member: &Member, program: Program, stop: &Stop) -> Result<Signal, Failure> {
    let output = Arc::new(Output::standard(None));
    let (program, printer, json) = (Arc::new(program), Arc::clone(&output), args.json);
    let handler = move |caller: Caller, request: Vec<u8>| {
        let (program, printer) = (Arc::clone(&program), Arc::clone(&printer));
        async move {
            let (started, request_bytes) = (Instant::now(), request.len());
            let answer = program.answer(&caller.peer.to_string(), &request).await;
            let line = RequestLine {
                event: "request",
                caller: caller.peer.to_string(),
                request_bytes,
                answer_bytes: answer.as_ref().ok().map(Vec::len),
                refused: answer.as_ref().err().map(ToString::to_string),
                took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            };
            // A service is of use even if nobody reads what it does.
            let _ = printer.print(line.shown(json), None).await;
            answer
        }
    };
    let serve = Serve {
        at_once: args.at_once.get(),
    };
    let served = member.mesh.serve_with(args.service.clone(), serve, handler);
    let service = served.map_err(|error| Failure::Other(error.into()))?;
    let (mesh, id) = (member.mesh.name(), member.node.id());
    say(&format!("serving {} in {mesh} as {id}; Ctrl-C ends", service.name()));
    // No bar to draw: lines go out as requests come.
    let mut watch = member.watch(ProgressBar::hidden());
    tokio::select! {
        biased;
        signal = stop.requested() => Ok(signal),
        failure = watch.given_up() => Err(failure),
    }
}

impl RequestLine {
    fn shown(&self, json: bool) -> Vec<u8> {
        if json {
            return json_line(self);
        }
        let took = Duration::from_millis(self.took_ms).as_secs_f64();
        let ending = match (&self.refused, self.answer_bytes) {
            (Some(reason), _) => format!("refused: {}", super::exit::printable(reason).replace('\n', "\\n")),
            (None, bytes) => format!("answered {} bytes", bytes.unwrap_or_default()),
        };
        let (caller, bytes) = (&self.caller, self.request_bytes);
        format!("{caller}  {bytes} bytes  {took:.3} s  {ending}\n").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: ReplyArgs,
    }

    fn parse(line: &str) -> Result<ReplyArgs, clap::Error> {
        Command::try_parse_from(super::super::parse::spread_values(
            format!("reply {line}").split_whitespace().map(OsString::from),
        ))
        .map(|command| command.args)
    }

    #[test]
    fn all_that_follows_exec_is_the_programs() {
        let args = parse("m.example greet --json --exec cat").unwrap();
        assert!(args.json && args.exec == ["cat"] && args.at_once.get() == 4);
        let words = "tool --json -x -- --bootstrap /a /b --exec $HOME";
        let args = parse(&format!("m.example greet --at-once 2 --exec {words}")).unwrap();
        assert!(!args.json && args.network.bootstrap.is_empty() && args.at_once.get() == 2);
        assert!(args.exec.iter().eq(words.split_whitespace()), "{:?}", args.exec);
        for bad in [
            "m.example greet",
            "m.example greet --exec",
            "m.example a//b --exec cat",
            "m.example greet --at-once 0 --exec cat",
        ] {
            assert_eq!(parse(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
    }

    #[test]
    fn lines_do_not_drive_the_terminal() {
        let line = RequestLine {
            event: "request",
            caller: "12D3".into(),
            request_bytes: 3,
            answer_bytes: None,
            refused: Some("\u{1b}[2J\nno".into()),
            took_ms: 12,
        };
        let shown = String::from_utf8(line.shown(false)).unwrap();
        assert_eq!(shown, "12D3  3 bytes  0.012 s  refused: \\u{1b}[2J\\nno\n");
    }
}
