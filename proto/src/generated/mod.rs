//! The messages of the .proto files, as prost-build writes them: not to be edited (`tests/generated.rs` says how to write
//! them again). The nesting follows the protobuf packages, because generated code refers to itself that way.
#![allow(missing_docs, unreachable_pub, clippy::all, rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

pub mod admission {
    pub mod v1;
}
pub mod blobs {
    pub mod v1;
}
pub mod catchup {
    pub mod v1;
}
pub mod control {
    pub mod v1;
}
pub mod document {
    pub mod v1;
}
pub mod frame {
    pub mod v1;
}
pub mod leases {
    pub mod v1;
}
pub mod lockstep {
    pub mod v1;
}
pub mod peers {
    pub mod v1;
}
pub mod requests {
    pub mod v1;
}
pub mod ticket {
    pub mod v1;
}
