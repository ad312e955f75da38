//! Bytes that go in and out: photos, files, everything at once.

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;

use super::Here;
use super::asked::AskedIn;
use super::error::Refusal;
use crate::save::file_name;

/// Bytes of one photo or file.
pub(crate) const FILE_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// Uploads that are taken in at once: each is in memory, and a photo is unpacked besides.
const UPLOADS_MAX: usize = 2;
static UPLOADS: Semaphore = Semaphore::const_new(UPLOADS_MAX);

pub(super) fn routes() -> Router<Here> {
    Router::new()
        .route("/api/photos", post(photo))
        .route("/api/files", post(file))
        .layer(DefaultBodyLimit::max(FILE_BYTES_MAX))
        .route("/api/blob/{id}", get(blob))
        .route("/api/save", get(save))
}

#[derive(Deserialize)]
struct Upload {
    name: String,
    #[serde(default)]
    keep: u8,
}

async fn photo(
    State(here): State<Here>,
    AskedIn(upload): AskedIn<Upload>,
    body: axum::body::Body,
) -> Result<Response, Refusal> {
    let group = here.app.group()?;
    let _place = UPLOADS.acquire().await.map_err(Refusal::failed)?;
    let bytes = whole(body).await?;
    let id = group
        .add_photo(&file_name(&upload.name), bytes, upload.keep == 1)
        .await?;
    Ok(Json(json!({ "id": id })).into_response())
}

async fn file(
    State(here): State<Here>,
    AskedIn(upload): AskedIn<Upload>,
    body: axum::body::Body,
) -> Result<Response, Refusal> {
    let group = here.app.group()?;
    let _place = UPLOADS.acquire().await.map_err(Refusal::failed)?;
    let bytes = whole(body).await?;
    let id = group.add_file(&file_name(&upload.name), bytes).await?;
    Ok(Json(json!({ "id": id })).into_response())
}

async fn whole(body: axum::body::Body) -> Result<Bytes, Refusal> {
    let too_large = |_| Refusal::bad("too_large", "this is larger than 64 MiB, or did not arrive whole");
    axum::body::to_bytes(body, FILE_BYTES_MAX).await.map_err(too_large)
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
    Ok((headers, axum::body::Body::from_stream(archive)).into_response())
}

/// As RFC 6266 writes names in any script.
fn attachment(name: &str) -> String {
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');
    format!("attachment; filename*=UTF-8''{}", utf8_percent_encode(name, PLAIN))
}
