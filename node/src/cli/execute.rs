//! A program that answers requests: started directly, fed, read up to a bound, and killed with all it started if its answer is
//! no longer waited for. Knows nothing of meshes.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Stdio;

use futures::FutureExt;
use maille::Refusal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::exit::{Failure, say};
use super::password::PASSWORD_VARIABLE;

/// The variable that names the member that asks.
const CALLER_VARIABLE: &str = "MAILLE_CALLER";
/// The longest answer there may be.
const ANSWER_BYTES_MAX: u64 = 1_048_576;
/// What is kept of standard error: its end.
const ERROR_BYTES_MAX: usize = 4_096;

/// A program and its arguments.
#[derive(Debug)]
pub(crate) struct Program {
    path: OsString,
    arguments: Vec<OsString>,
}

impl Program {
    /// The program that these words name; the first is its path, or its name on the `PATH`.
    pub(crate) fn find(words: &[OsString]) -> Result<Self, Failure> {
        let (path, arguments) = words
            .split_first()
            .ok_or_else(|| Failure::Usage("give a program to run: --exec CMD".to_owned()))?;
        if cfg!(unix) && !is_there(path) {
            return Err(Failure::Usage(format!(
                "there is no program {}: give its path, or a name on the PATH",
                path.to_string_lossy()
            )));
        }
        Ok(Self {
            path: path.clone(),
            arguments: arguments.to_vec(),
        })
    }

    /// Runs it with a request. Dropping the future kills it.
    pub(crate) async fn answer(&self, caller: &str, request: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .env(CALLER_VARIABLE, caller)
            // It serves members; what opens the mesh is none of its business.
            .env_remove(PASSWORD_VARIABLE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let child = command.spawn().map_err(|error| {
            say(&format!("cannot start {}: {error}", self.path.to_string_lossy()));
            Refusal::new("the service's program cannot be started")
        })?;
        let mut group = Group::of(child);
        let Group { child, .. } = &mut group;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A program need not read what it is given.
                let _ = stdin.write_all(request).await;
            }
        };
        // One that writes without an end is killed when it has written too much.
        let (answer, error, ()) = tokio::try_join!(all_of(stdout), end_of(stderr).map(Ok), feed.map(Ok))?;
        let status = group.wait().await?;
        match status.success() {
            true => Ok(answer),
            false => Err(Refusal::new(
                last_line(&error).unwrap_or_else(|| format!("the service ended with {status}")),
            )),
        }
    }
}

fn is_there(path: &OsStr) -> bool {
    if Path::new(path).components().count() > 1 {
        return Path::new(path).is_file();
    }
    let directories = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&directories).any(|directory| directory.join(path).is_file())
}

/// A running program with all it started, as far as it stayed in its process group: killed when dropped.
struct Group {
    child: Child,
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

impl Group {
    fn of(child: Child) -> Self {
        Self {
            #[cfg(unix)]
            leader: child
                .id()
                .and_then(|id| i32::try_from(id).ok())
                .and_then(rustix::process::Pid::from_raw),
            child,
        }
    }

    /// Waits for its end; what it left running is left alone.
    async fn wait(mut self) -> std::io::Result<std::process::ExitStatus> {
        let status = self.child.wait().await?;
        #[cfg(unix)]
        {
            // Its number may be another's from now on.
            self.leader = None;
        }
        Ok(status)
    }
}

#[cfg(unix)]
impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            // An error means that all of it has ended.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

/// All that it writes, up to the bound.
async fn all_of(stdout: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, Refusal> {
    let mut answer = Vec::new();
    if let Some(stdout) = stdout {
        stdout.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut answer).await?;
    }
    match answer.len() as u64 > ANSWER_BYTES_MAX {
        true => Err(Refusal::new(format!(
            "the service wrote more than the {ANSWER_BYTES_MAX} bytes that an answer may have"
        ))),
        false => Ok(answer),
    }
}

/// The last of what it writes.
async fn end_of(stderr: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut end = Vec::new();
    let Some(mut stderr) = stderr else { return end };
    let mut piece = [0; ERROR_BYTES_MAX];
    while let Ok(bytes @ 1..) = stderr.read(&mut piece).await {
        end.extend_from_slice(&piece[..bytes]);
        end.drain(..end.len().saturating_sub(ERROR_BYTES_MAX));
    }
    end
}

/// The last line that says something.
fn last_line(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    line.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_last_that_says_something() {
        assert_eq!(last_line(b"one\ntwo \n\n  \n").as_deref(), Some("two"));
        assert_eq!(last_line(b"cut \xff").as_deref(), Some("cut \u{fffd}"));
        assert_eq!(last_line(b" \n"), None);
    }

    #[tokio::test]
    async fn only_the_end_of_an_error_is_kept() {
        let long = [vec![b'x'; 10 * ERROR_BYTES_MAX], b"\nlast".to_vec()].concat();
        let end = end_of(Some(&long[..])).await;
        assert_eq!((end.len(), last_line(&end).as_deref()), (ERROR_BYTES_MAX, Some("last")));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn answers_errors_and_programs_that_are_not_there() {
        let find = |line: &str| Program::find(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        let cat = find("cat").unwrap();
        // More than the pipes hold, both ways at once.
        let request = vec![7; 1_000_000];
        assert!(cat.answer("me", &request).await.unwrap() == request);
        // A program that does not read what it is given.
        assert_eq!(
            find("echo $HOME `id` *").unwrap().answer("me", &request).await.unwrap(),
            b"$HOME `id` *\n"
        );
        let refused = find("cat /nowhere/at/all")
            .unwrap()
            .answer("me", b"")
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("/nowhere/at/all"), "{refused}");
        let refused = find("false").unwrap().answer("me", b"").await.unwrap_err();
        assert_eq!(refused.to_string(), "the service ended with exit status: 1");
        for missing in ["/nowhere/at/all", "no-such-program-anywhere", "/"] {
            assert!(matches!(find(missing), Err(Failure::Usage(_))), "{missing}");
        }
    }
}
