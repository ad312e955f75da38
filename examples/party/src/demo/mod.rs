//! Members on this computer's loopback, who know a helper and nobody else: with a page each, or editing by themselves.

mod big;
mod cast;
mod headless;
mod script;

use std::io::Write as _;

use serde_json::json;
use shared::{Failure, stop};

use self::cast::Cast;
use crate::args::DemoArgs;
use crate::start::{LOOPBACK, show};
use crate::web::{self, Role, Site};

pub(crate) async fn run(args: &DemoArgs) -> Result<(), Failure> {
    match args {
        DemoArgs { headless: false, .. } => {}
        DemoArgs {
            items: 0, photos: 0, ..
        } => return headless::run(args).await,
        _ => return big::run(args).await,
    }
    let cast = Cast::start(args.members).await?;
    script::begin(&cast).await?;
    script::fill(&cast, args.items, args.photos).await?;
    for (place, member) in cast.members.iter().enumerate() {
        let site = Site::open(&member.app, LOOPBACK, web::new_guard())
            .await
            .map_err(Failure::other)?;
        let link = site.link(Role::Owner);
        if args.json {
            writeln!(std::io::stdout(), "{}", json!({ "page": link, "name": member.name }))?;
        } else {
            write!(std::io::stdout(), "{}: ", member.name)?;
            // One window is enough to begin with.
            show(&link, args.no_browser || place > 0)?;
        }
    }
    stop::requested().await;
    cast.end().await;
    Ok(())
}
