//! The files of the page, which are part of the program.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::error::Refusal;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// All files of the page, by name.
        pub(crate) const FILES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../page/", $name)))),*];
    };
}

files![
    "api.js",
    "app.js",
    "ask.js",
    "dom.js",
    "files.js",
    "first.js",
    "group.css",
    "guests.js",
    "icon.svg",
    "index.html",
    "inline.js",
    "invite.js",
    "language.js",
    "people.js",
    "photos.js",
    "rows.js",
    "scan.js",
    "splice.js",
    "state.js",
    "stream.js",
    "style.css",
    "text.js",
    "toast.js",
    "todos.js",
    "upload.js",
    "viewer.js",
    "words.js",
];

pub(super) async fn index() -> Response {
    file(Path("index.html".to_owned())).await
}

pub(super) async fn file(Path(name): Path<String>) -> Response {
    let Some((_, text)) = FILES.iter().find(|(file, _)| *file == name) else {
        return Refusal::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here").into_response();
    };
    let kind = match name.rsplit_once('.') {
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    };
    ([(CONTENT_TYPE, kind)], *text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/page");
        let there = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut there: Vec<String> = there.collect();
        there.sort();
        let mut served: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        served.sort_unstable();
        assert_eq!(there, served);
    }
}
