//! Bytes that go in and out: photos, files, everything at once.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::BytesMut;
use futures::StreamExt;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Here;
use super::asked::AskedIn;
use super::error::Refusal;
use crate::group::Group;
use crate::save::file_name;

/// Bytes of one photo or file.
const FILE_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// Uploads that are taken in at once: each is in memory, and a photo is unpacked besides.
const UPLOADS_MAX: usize = 2;
/// Bytes of what is too large that are read before the answer.
const FORGOTTEN_BYTES_MAX: usize = 2 * 1_024 * 1_024 * 1_024;
/// How long an upload may take, and be still meanwhile: one that stalls keeps a place from others.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(300);
const STILL_TIMEOUT: Duration = Duration::from_secs(30);
static UPLOADS: Semaphore = Semaphore::const_new(UPLOADS_MAX);

pub(super) fn routes() -> Router<Here> {
    Router::new()
        .route("/api/photos", post(photo))
        .route("/api/files", post(file))
        .route("/api/blob/{id}", get(blob))
        .route("/api/save", get(save))
}

#[derive(Deserialize)]
struct Upload {
    name: String,
    #[serde(default)]
    keep: u8,
}

async fn photo(State(here): State<Here>, AskedIn(upload): AskedIn<Upload>, body: Body) -> Result<Response, Refusal> {
    let (group, _place, bytes) = taken(&here, body).await?;
    let id = group
        .add_photo(&file_name(&upload.name), bytes, upload.keep == 1)
        .await?;
    Ok(Json(json!({ "id": id })).into_response())
}

async fn file(State(here): State<Here>, AskedIn(upload): AskedIn<Upload>, body: Body) -> Result<Response, Refusal> {
    let (group, _place, bytes) = taken(&here, body).await?;
    let id = group.add_file(&file_name(&upload.name), bytes).await?;
    Ok(Json(json!({ "id": id })).into_response())
}

/// Where an upload goes, its place among those that are taken in at once, and all of it.
async fn taken(here: &Here, body: Body) -> Result<(Arc<Group>, SemaphorePermit<'static>, Bytes), Refusal> {
    let group = here.app.group()?;
    let place = UPLOADS.acquire().await.map_err(Refusal::failed)?;
    Ok((group, place, whole(body).await?))
}

async fn whole(body: Body) -> Result<Bytes, Refusal> {
    let arrived = tokio::time::timeout(UPLOAD_TIMEOUT, arrived(body));
    arrived.await.map_err(|_| Refusal::late())?
}

/// What is too much is read as well, and forgotten: a browser listens to an answer only once it has sent everything.
async fn arrived(body: Body) -> Result<Bytes, Refusal> {
    let mut pieces = body.into_data_stream();
    let (mut bytes, mut arrived) = (BytesMut::new(), 0);
    loop {
        let next = tokio::time::timeout(STILL_TIMEOUT, pieces.next());
        let Some(piece) = next.await.map_err(|_| Refusal::late())? else {
            break;
        };
        let piece = piece.map_err(|_| Refusal::bad("cut_off", "this did not arrive whole: try again"))?;
        arrived += piece.len();
        if arrived <= FILE_BYTES_MAX {
            bytes.extend_from_slice(&piece);
        } else if arrived <= FORGOTTEN_BYTES_MAX {
            bytes = BytesMut::new();
        } else {
            break;
        }
    }
    let too_large = || Refusal::bad("too_large", "this is larger than 64 MiB");
    if arrived <= FILE_BYTES_MAX {
        Ok(bytes.freeze())
    } else {
        Err(too_large())
    }
}

#[derive(Deserialize)]
struct Download {
    #[serde(default)]
    name: String,
    #[serde(default)]
    download: u8,
}

async fn blob(
    State(here): State<Here>,
    Path(id): Path<String>,
    AskedIn(how): AskedIn<Download>,
) -> Result<Response, Refusal> {
    let bytes = here.app.group()?.blob(&id).await?;
    let shown = image::guess_format(&bytes)
        .ok()
        .filter(|_| how.download == 0)
        .and_then(|format| match format {
            image::ImageFormat::Jpeg => Some("image/jpeg"),
            image::ImageFormat::Png => Some("image/png"),
            image::ImageFormat::WebP => Some("image/webp"),
            _ => None,
        });
    let disposition = match shown {
        Some(_) => "inline".to_owned(),
        None => attachment(&file_name(&how.name)),
    };
    let headers = [
        (CONTENT_TYPE, shown.unwrap_or("application/octet-stream").to_owned()),
        (CONTENT_DISPOSITION, disposition),
        // What is named by its hash never changes.
        (CACHE_CONTROL, "private, max-age=31536000, immutable".to_owned()),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox".to_owned()),
    ];
    Ok((headers, bytes).into_response())
}

async fn save(State(here): State<Here>) -> Result<Response, Refusal> {
    let group = here.app.group()?;
    let name = format!("{}.zip", file_name(&group.title()));
    let archive = group.save().await?;
    let headers = [
        (CONTENT_TYPE, "application/zip".to_owned()),
        (CONTENT_DISPOSITION, attachment(&name)),
    ];
    Ok((headers, Body::from_stream(archive)).into_response())
}

/// As RFC 6266 writes names in any script.
fn attachment(name: &str) -> String {
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');
    format!("attachment; filename*=UTF-8''{}", utf8_percent_encode(name, PLAIN))
}
