//! The program's web server: one page for people, and what the page asks for. Only whoever opened a link of this program gets
//! anything (`guard`).

mod api;
mod asked;
mod error;
mod events;
mod guard;
mod page;
mod serve;
mod uploads;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, LOCATION, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

pub(crate) use self::error::Refusal;
pub(crate) use self::guard::{Guard, Role};
pub(crate) use self::page::FILES;
use crate::app::App;

/// Nothing from elsewhere is loaded, nothing is run that does not come as a file of its own, and nobody frames the page.
const POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// A page at one place of this machine.
#[derive(Debug)]
pub(crate) struct Site {
    authority: String,
    guard: Arc<Guard>,
}

#[derive(Clone)]
struct Here {
    app: Arc<App>,
    guard: Arc<Guard>,
    authority: Arc<str>,
}

impl Site {
    /// Serves the page at this IP address, on a port of the system's choice, until `app` is dropped with the runtime.
    ///
    /// # Errors
    /// When there is no such address on this machine.
    pub(crate) async fn open(app: &Arc<App>, ip: IpAddr, guard: Arc<Guard>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::new(ip, 0)).await?;
        let authority = listener.local_addr()?.to_string();
        let here = Here {
            app: app.clone(),
            guard: guard.clone(),
            authority: authority.as_str().into(),
        };
        let router = router(here);
        // It ends with the program.
        tokio::spawn(serve::serve(listener, router));
        Ok(Self { authority, guard })
    }

    /// A new link to the page.
    pub(crate) fn link(&self, role: Role) -> String {
        format!("http://{}/enter/{}", self.authority, self.guard.new_link(role))
    }
}

pub(crate) fn new_guard() -> Arc<Guard> {
    Arc::new(Guard::default())
}

fn router(here: Here) -> Router {
    let inside = Router::new()
        .route("/", get(page::index))
        .route("/{file}", get(page::file))
        .merge(api::routes())
        .route("/api/events", get(events::events))
        .merge(uploads::routes())
        .layer(middleware::from_fn_with_state(here.clone(), guarded));
    Router::new()
        .route("/enter/{key}", get(enter))
        .merge(inside)
        .method_not_allowed_fallback(|| async {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "not_found", "this cannot be done here")
        })
        .fallback(|| async { Refusal::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here") })
        .layer(middleware::map_response(hardened))
        .with_state(here)
}

/// Lets in who opened a link, and hides it from the address bar.
async fn enter(State(here): State<Here>, Path(key): Path<String>, request: Request) -> Response {
    let cookie = guard::is_at_home(request.headers(), &here.authority).then(|| here.guard.enter(&key, &here.authority));
    match cookie.flatten() {
        Some(cookie) => (
            StatusCode::SEE_OTHER,
            [(SET_COOKIE, cookie), (LOCATION, "/".to_owned())],
        )
            .into_response(),
        None => Refusal::stranger().into_response(),
    }
}

async fn guarded(State(here): State<Here>, mut request: Request, next: Next) -> Response {
    match here.guard.role(request.headers(), &here.authority) {
        Some(role) => {
            request.extensions_mut().insert(role);
            next.run(request).await
        }
        None => Refusal::stranger().into_response(),
    }
}

async fn hardened(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// For what only the person at this computer may do.
struct Owner;

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Owner {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Self, Refusal> {
        match parts.extensions.get() {
            Some(Role::Owner) => Ok(Self),
            _ => Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "guest",
                "guests of this member cannot do this",
            )),
        }
    }
}
