//! What a command asks of the first members it meets, and how long it looks for them. Not what it asks.

use std::time::Duration;

use indicatif::ProgressBar;

use super::common::Member;
use super::exit::Failure;
use super::signals::Stop;

/// How long to wait for others beside the first neighbour: no member knows all.
const SETTLE: Duration = Duration::from_millis(500);

/// What is asked, once members were met; a failure if none was in this time.
pub(crate) async fn of_members_met<T>(
    member: &Member,
    timeout: Duration,
    stop: &Stop,
    asked: impl Future<Output = T>,
) -> Result<T, Failure> {
    let progress = ProgressBar::new_spinner().with_message(format!("looking for members of {}", member.mesh.name()));
    progress.enable_steady_tick(Duration::from_millis(100));
    let mut watch = member.watch(progress.clone());
    let met = async {
        member.mesh.joined().await;
        tokio::time::sleep(SETTLE).await;
        asked.await
    };
    let answer = tokio::select! {
        biased;
        _ = stop.requested() => Err(Failure::Interrupted(String::new())),
        // What takes longer after a member was met has a deadline of its own.
        answer = met => Ok(answer),
        failure = watch.given_up() => Err(failure),
        () = alone_for(member, timeout) => Err(nobody(member, timeout)),
    };
    progress.finish_and_clear();
    match (answer, watch.refused_so_far()) {
        (Err(Failure::NobodyThere(_)), Some(refused)) => Err(refused),
        (answer, _) => answer,
    }
}

/// Resolves when no member was met for so long.
async fn alone_for(member: &Member, timeout: Duration) {
    let joined = member.mesh.joined();
    if tokio::time::timeout(timeout, joined).await.is_ok() {
        std::future::pending().await
    }
}

fn nobody(member: &Member, timeout: Duration) -> Failure {
    Failure::NobodyThere(format!(
        "no member of {} was met in {} s. Is one running with the same password? Elsewhere than on this machine or network, both \
         need a --bootstrap peer or a ticket",
        member.mesh.name(),
        timeout.as_secs_f64()
    ))
}
