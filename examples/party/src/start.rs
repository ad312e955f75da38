//! The program as people use it: a page in their browser, until they end it.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use maille::{Address, MeshName};
use shared::stop;
use shared::{Failure, Nearby, Network, secret};

use crate::app::App;
use crate::args::{JoinArgs, PageArgs, StartArgs};
use crate::home::Home;
use crate::lan;
use crate::web::{self, Role, Site};

/// Where the page of the person at this computer is served.
pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(crate) async fn start(args: StartArgs) -> Result<(), Failure> {
    let network = Network {
        nearby: if args.no_mdns { Nearby::Machine } else { Nearby::Lan },
        bootstrap: args.bootstrap,
        listen: args.listen,
        ..Network::default()
    };
    let app = App::new(home(args.data_dir)?, network);
    serve(&app, &args.page).await
}

pub(crate) async fn join(args: JoinArgs) -> Result<(), Failure> {
    let mesh = mesh_of(&args)?;
    let such = mesh.as_str().to_owned() + "/party";
    let address: Address = such
        .parse()
        .map_err(|error| Failure::Usage(format!("{such}: {error}")))?;
    let credential = secret::credential(&args.mesh, &address)?;
    let app = App::new(home(args.data_dir)?, args.mesh.network(None));
    app.join_directly(mesh, credential, &args.name)
        .await
        .map_err(Failure::other)?;
    serve(&app, &args.page).await
}

fn mesh_of(args: &JoinArgs) -> Result<MeshName, Failure> {
    let ticket = args.mesh.ticket.as_ref().map(|ticket| ticket.mesh().clone());
    let Some(text) = &args.address else {
        let missing =
            || Failure::Usage("give the group's mesh, such as p-0123456789abcdef.party, or a ticket".to_owned());
        return ticket.ok_or_else(missing);
    };
    let address = text.parse().map(|address: Address| address.mesh().clone());
    let mesh = address
        .or_else(|_| text.parse::<MeshName>())
        .map_err(|error| Failure::Usage(format!("{text}: {error}")))?;
    match ticket {
        Some(ticket) if ticket != mesh => Err(Failure::Usage(format!(
            "the ticket leads to {ticket}, not to {mesh}: leave one of them out"
        ))),
        _ => Ok(mesh),
    }
}

fn home(data_dir: Option<PathBuf>) -> Result<Home, Failure> {
    match data_dir {
        Some(folder) => Ok(Home::new(folder)),
        None => Home::of_user().map_err(|error| Failure::Usage(format!("{error}: give a folder with --data-dir"))),
    }
}

/// Serves the page until somebody ends the program.
async fn serve(app: &Arc<App>, page: &PageArgs) -> Result<(), Failure> {
    let guard = web::new_guard();
    let site = Site::open(app, LOOPBACK, guard.clone()).await.map_err(Failure::other)?;
    show(&site.link(Role::Owner), page.no_browser)?;
    if page.lan {
        lan::serve(app, guard).await?;
    }
    stop::requested().await;
    app.close().await;
    Ok(())
}

/// Opens the page in the user's browser, and says where it is.
pub(crate) fn show(link: &str, no_browser: bool) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{link}")?;
    let is_open = !no_browser && open::that_detached(link).is_ok();
    let mut say = std::io::stderr();
    if is_open {
        writeln!(say, "The page is open in your browser. Ctrl-C here ends it.")?;
    } else {
        writeln!(say, "Open this link in your browser. Ctrl-C here ends it.")?;
    }
    Ok(())
}
