//! Photos and files of a group: shared as blobs, named in the plan.

use axum::body::Bytes;
use axum::http::StatusCode;
use futures::Stream;
use maille::BlobId;
use tokio::io::AsyncReadExt as _;

use super::{Group, locked};
use crate::photo;
use crate::plan::{Fields, ITEMS_MAX, List};
use crate::save::Archive;
use crate::web::Refusal;

/// How long a page waits for bytes that another member has.
const FETCH_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
/// Bytes that are read of a file at once.
const PIECE_BYTES: usize = 256 * 1_024;

impl Group {
    /// Shares a photo, without what its file tells beside the picture unless `keep`. A file of a kind that is not known is
    /// shared as it is, without a small picture, if `keep`.
    pub(crate) async fn add_photo(&self, name: &str, bytes: Bytes, keep: bool) -> Result<String, Refusal> {
        self.has_room(List::Photos)?;
        let kept = bytes.clone();
        let read = tokio::task::spawn_blocking(move || photo::read(kept, keep))
            .await
            .map_err(Refusal::failed)?;
        let (bytes, mime, thumb) = match read {
            Ok(photo) => (photo.bytes, photo.mime, Some(photo.thumb)),
            Err(photo::Fault::Unknown) if keep => (bytes, "application/octet-stream", None),
            Err(fault) => return Err(Refusal::bad(fault.code(), fault)),
        };
        let mut fields = Fields::new();
        let mut set = |field: &str, value: String| fields.insert(field.to_owned(), value);
        if let Some(thumb) = thumb {
            set("thumb", self.share(thumb.bytes.into()).await?);
            set("width", thumb.width.to_string());
            set("height", thumb.height.to_string());
        }
        self.add(List::Photos, name, mime, bytes, fields).await
    }

    pub(crate) async fn add_file(&self, name: &str, bytes: Bytes) -> Result<String, Refusal> {
        self.has_room(List::Files)?;
        self.add(List::Files, name, "application/octet-stream", bytes, Fields::new())
            .await
    }

    /// The bytes that an id names, from whoever has them.
    pub(crate) async fn blob(&self, id: &str) -> Result<Bytes, Refusal> {
        let id: BlobId = id.parse().map_err(|error| Refusal::bad("bad_id", error))?;
        // Only what is in the plan: members' other blobs are nothing for pages.
        if !self.is_planned(&id.to_string()) {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "not_found",
                "nothing in the plan has this id",
            ));
        }
        let nobody = || Refusal::new(StatusCode::NOT_FOUND, "nobody_has_it", "nobody who has this is online");
        let fetch = async { self.mesh.fetch(id).await?.bytes().await };
        tokio::time::timeout(FETCH_TIMEOUT, fetch)
            .await
            .map_err(|_| nobody())?
            .map_err(Refusal::failed)
    }

    /// Everything in one archive. What nobody has who is online is named in a file of its own.
    pub(crate) async fn save(&self) -> Result<impl Stream<Item = std::io::Result<Bytes>> + use<>, Refusal> {
        let plan = locked(&self.now).plan.clone();
        let file = tempfile::tempfile().map_err(Refusal::failed)?;
        let mut archive = Archive::new(file, &plan).map_err(Refusal::failed)?;
        let mut missing = String::new();
        for list in [List::Photos, List::Files] {
            for (_, fields) in plan.in_order(list) {
                let field = |name: &str| fields.get(name).map_or("", String::as_str);
                match self.blob(field("blob")).await {
                    Ok(bytes) => archive
                        .add(list.name(), field("name"), &bytes)
                        .map_err(Refusal::failed)?,
                    Err(_) => missing.extend([field("name"), "\n"]),
                }
            }
        }
        if !missing.is_empty() {
            archive
                .add("", "missing.txt", missing.as_bytes())
                .map_err(Refusal::failed)?;
        }
        let mut file = archive.finish().map_err(Refusal::failed)?;
        std::io::Seek::rewind(&mut file).map_err(Refusal::failed)?;
        let file = tokio::fs::File::from_std(file);
        Ok(futures::stream::try_unfold(file, |mut file| async move {
            let mut piece = bytes::BytesMut::with_capacity(PIECE_BYTES);
            let read = file.read_buf(&mut piece).await?;
            Ok((read > 0).then(|| (piece.freeze(), file)))
        }))
    }

    fn has_room(&self, list: List) -> Result<(), Refusal> {
        let count = locked(&self.now).plan.count(list);
        let full = crate::plan::Fault::Full;
        if count < ITEMS_MAX {
            Ok(())
        } else {
            Err(Refusal::bad(full.code(), full))
        }
    }

    fn is_planned(&self, id: &str) -> bool {
        let now = locked(&self.now);
        let of = |list| now.plan.items(list);
        let mut all = of(List::Photos).chain(of(List::Files));
        all.any(|(_, fields)| {
            ["blob", "thumb"]
                .iter()
                .any(|field| fields.get(*field).is_some_and(|named| named == id))
        })
    }

    async fn share(&self, bytes: Bytes) -> Result<String, Refusal> {
        let id = self.mesh.share(bytes).await.map_err(Refusal::failed)?;
        Ok(id.to_string())
    }

    async fn add(
        &self,
        list: List,
        name: &str,
        mime: &str,
        bytes: Bytes,
        mut fields: Fields,
    ) -> Result<String, Refusal> {
        let by = locked(&self.known).name.clone();
        let known = [
            ("name", name.to_owned()),
            ("by", by),
            ("type", mime.to_owned()),
            ("bytes", bytes.len().to_string()),
            ("added", jiff::Timestamp::now().to_string()),
            ("blob", self.share(bytes).await?),
        ];
        fields.extend(known.map(|(field, value)| (field.to_owned(), value)));
        let id = self.put(list, None, fields).await?;
        self.refresh();
        Ok(id)
    }
}
