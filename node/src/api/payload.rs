//! What can be published: bytes, text, protobuf messages, JSON, and an application's own types.

use std::any::Any;

use bytes::Bytes;
use thiserror::Error;

/// A value that travels as one record's payload.
///
/// Every protobuf message of [`prost`] is a payload. [`Bytes`], `Vec<u8>` and [`String`] travel as they are, without
/// an envelope. For other types implement the trait:
///
/// ```
/// use bytes::Bytes;
/// use maille::{Payload, PayloadError};
///
/// struct Celsius(f32);
///
/// impl Payload for Celsius {
///     fn content_type() -> &'static str {
///         "application/x-celsius"
///     }
///     fn encode_payload(&self) -> Result<Bytes, PayloadError> {
///         Ok(Bytes::copy_from_slice(&self.0.to_be_bytes()))
///     }
///     fn decode_payload(payload: Bytes) -> Result<Self, PayloadError> {
///         let bytes = <[u8; 4]>::try_from(&payload[..]).map_err(PayloadError::new)?;
///         Ok(Celsius(f32::from_be_bytes(bytes)))
///     }
/// }
/// ```
pub trait Payload: Sized + Send + 'static {
    /// What the payload is, at most 64 bytes of visible ASCII; empty for plain bytes.
    fn content_type() -> &'static str;

    /// The payload's bytes.
    ///
    /// # Errors
    /// When the value has no form on the wire.
    fn encode_payload(&self) -> Result<Bytes, PayloadError>;

    /// The value again. The bytes come from another member and may be anything.
    ///
    /// # Errors
    /// When the bytes are not such a value; the subscriber reports them as `Event::Undecodable` and goes on.
    fn decode_payload(payload: Bytes) -> Result<Self, PayloadError>;
}

/// A payload that could not be encoded or decoded.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct PayloadError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl PayloadError {
    /// From the codec's own error, or from a sentence.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// prost counts `Bytes`, `Vec<u8>` and `String` as messages, in an envelope; records carry them as they are.
fn plain<M: 'static>(message: &M) -> Option<Bytes> {
    let message: &dyn Any = message;
    message
        .downcast_ref::<Bytes>()
        .cloned()
        .or_else(|| {
            message
                .downcast_ref::<Vec<u8>>()
                .map(|bytes| Bytes::copy_from_slice(bytes))
        })
        .or_else(|| {
            message
                .downcast_ref::<String>()
                .map(|text| Bytes::copy_from_slice(text.as_bytes()))
        })
}

/// The same backwards: `into` is filled if it is one of the three, else false.
fn plain_into<M: 'static>(payload: &Bytes, into: &mut M) -> Result<bool, PayloadError> {
    let into: &mut dyn Any = into;
    if let Some(bytes) = into.downcast_mut::<Bytes>() {
        *bytes = payload.clone();
    } else if let Some(bytes) = into.downcast_mut::<Vec<u8>>() {
        bytes.extend_from_slice(payload);
    } else if let Some(text) = into.downcast_mut::<String>() {
        text.push_str(std::str::from_utf8(payload).map_err(PayloadError::new)?);
    } else {
        return Ok(false);
    }
    Ok(true)
}

impl<M: prost::Message + Default + 'static> Payload for M {
    fn content_type() -> &'static str {
        let sample: &dyn Any = &M::default();
        if sample.is::<String>() {
            "text/plain"
        } else if sample.is::<Bytes>() || sample.is::<Vec<u8>>() {
            ""
        } else {
            "application/x-protobuf"
        }
    }

    fn encode_payload(&self) -> Result<Bytes, PayloadError> {
        Ok(plain(self).unwrap_or_else(|| self.encode_to_vec().into()))
    }

    fn decode_payload(payload: Bytes) -> Result<Self, PayloadError> {
        let mut value = M::default();
        if !plain_into(&payload, &mut value)? {
            value = M::decode(payload).map_err(PayloadError::new)?;
        }
        Ok(value)
    }
}

/// A value that travels as JSON text.
#[cfg(feature = "serde")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json<T>(
    /// The value.
    pub T,
);

#[cfg(feature = "serde")]
impl<T: serde::Serialize + serde::de::DeserializeOwned + Send + 'static> Payload for Json<T> {
    fn content_type() -> &'static str {
        "application/json"
    }

    fn encode_payload(&self) -> Result<Bytes, PayloadError> {
        serde_json::to_vec(&self.0).map(Bytes::from).map_err(PayloadError::new)
    }

    fn decode_payload(payload: Bytes) -> Result<Self, PayloadError> {
        serde_json::from_slice(&payload).map(Json).map_err(PayloadError::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct Quote {
        #[prost(string, tag = "1")]
        symbol: String,
    }

    #[test]
    fn text_and_bytes_travel_as_they_are() {
        assert_eq!(String::from("tick").encode_payload().unwrap(), "tick");
        assert_eq!(String::decode_payload(Bytes::from("tick")).unwrap(), "tick");
        assert_eq!(Bytes::from_static(b"\xff\0").encode_payload().unwrap(), &b"\xff\0"[..]);
        assert_eq!(Vec::decode_payload(Bytes::from_static(b"\xff\0")).unwrap(), b"\xff\0");
        assert!(String::decode_payload(Bytes::from_static(b"\xff")).is_err());
        assert_eq!((String::content_type(), Bytes::content_type()), ("text/plain", ""));
    }

    #[test]
    fn messages_travel_as_protobuf() {
        let quote = Quote { symbol: "IBM".into() };
        assert_eq!(quote.encode_payload().unwrap(), &b"\x0a\x03IBM"[..]);
        assert_eq!(Quote::decode_payload(quote.encode_payload().unwrap()).unwrap(), quote);
        assert!(Quote::decode_payload(Bytes::from_static(b"\xff")).is_err());
        assert_eq!(Quote::content_type(), "application/x-protobuf");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn json_travels_as_text() {
        assert_eq!(Json(vec![1, 2]).encode_payload().unwrap(), "[1,2]");
        assert_eq!(
            Json::<Vec<u8>>::decode_payload(Bytes::from("[1,2]")).unwrap(),
            Json(vec![1, 2])
        );
        assert!(Json::<Vec<u8>>::decode_payload(Bytes::from("[1,")).is_err());
    }
}
