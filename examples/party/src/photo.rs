//! Photos as people send them: what their files tell beside the picture is left out, and a small picture is made. Files that
//! are no photo known here are told apart, not guessed at.
//!
//! What may stay is listed, not what must go: JPEG (ITU-T T.81) segments, PNG (W3C, third edition) chunks, WebP (RFC 9649) chunks.

use std::io::Cursor;

use bytes::{BufMut, Bytes, BytesMut};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use img_parts::ImageEXIF;
use img_parts::jpeg::markers;
use img_parts::png::Png;
use img_parts::webp::WebP;

/// Pixels along a side of a photo that a small picture is made of.
const SIDE_PIXELS_MAX: u32 = 20_000;
/// Bytes that a photo may take unpacked: 80 megapixels.
const UNPACKED_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The longer side of the small picture, in pixels.
const THUMB_PIXELS: u32 = 400;
const THUMB_QUALITY: u8 = 78;
/// What Exif begins with in a JPEG file.
const EXIF_PREFIX: &[u8] = b"Exif\0\0";
const ICC_PREFIX: &[u8] = b"ICC_PROFILE\0";

/// A photo that tells nothing beside its picture.
#[derive(Debug)]
pub(crate) struct Photo {
    pub(crate) bytes: Bytes,
    pub(crate) mime: &'static str,
    pub(crate) thumb: Thumb,
}

/// The small picture, a JPEG file, and the size of the large one as it is seen.
#[derive(Debug)]
pub(crate) struct Thumb {
    pub(crate) bytes: Vec<u8>,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Why a file is no photo that can be shared as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Perhaps a photo, of a format whose metadata cannot be taken out here.
    Unknown,
    /// It says that it is a photo, and is broken.
    Broken,
    /// It would take too much memory.
    TooLarge,
}

impl Fault {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Unknown => "cannot_clean",
            Self::Broken => "not_a_photo",
            Self::TooLarge => "too_large",
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unknown => "the place and the camera cannot be taken out of this kind of file: share it as it is, or save it as JPEG first",
            Self::Broken => "this file is broken, or no photo: share it as a file instead",
            Self::TooLarge => "this photo is too large: it has more than 80 million pixels",
        })
    }
}

/// Leaves out what the file tells beside the picture, unless `keep`, and makes a small picture.
///
/// # Errors
/// [`Fault`].
pub(crate) fn read(bytes: Bytes, keep: bool) -> Result<Photo, Fault> {
    let format = image::guess_format(&bytes).map_err(|_| Fault::Unknown)?;
    let mime = match format {
        ImageFormat::Jpeg => "image/jpeg",
        ImageFormat::Png => "image/png",
        ImageFormat::WebP => "image/webp",
        _ => return Err(Fault::Unknown),
    };
    let (thumb, orientation) = thumb(&bytes, format)?;
    let bytes = match keep {
        true => bytes,
        false => clean(bytes, format, orientation).ok_or(Fault::Broken)?,
    };
    Ok(Photo { bytes, mime, thumb })
}

fn thumb(bytes: &[u8], format: ImageFormat) -> Result<(Thumb, Orientation), Fault> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_PIXELS_MAX);
    limits.max_image_height = Some(SIDE_PIXELS_MAX);
    limits.max_alloc = Some(UNPACKED_BYTES_MAX);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(fault_of)?;
    // Some decoders take their size from the file and not from the limits.
    if decoder.total_bytes() > UNPACKED_BYTES_MAX {
        return Err(Fault::TooLarge);
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(fault_of)?;
    let (width, height) = (picture.width(), picture.height());
    let is_small = width.max(height) <= THUMB_PIXELS;
    let mut small = if is_small {
        picture
    } else {
        picture.thumbnail(THUMB_PIXELS, THUMB_PIXELS)
    };
    small.apply_orientation(orientation);
    let is_turned = (small.width() < small.height()) != (width < height);
    let mut file = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, THUMB_QUALITY);
    small.to_rgb8().write_with_encoder(encoder).map_err(fault_of)?;
    let (width, height) = if is_turned { (height, width) } else { (width, height) };
    let thumb = Thumb {
        bytes: file,
        width,
        height,
    };
    Ok((thumb, orientation))
}

fn fault_of(error: image::ImageError) -> Fault {
    match error {
        image::ImageError::Limits(_) => Fault::TooLarge,
        _ => Fault::Broken,
    }
}

/// The same picture; `None` if the file is not as its format says.
fn clean(bytes: Bytes, format: ImageFormat, orientation: Orientation) -> Option<Bytes> {
    let upright = upright(orientation);
    match format {
        ImageFormat::Jpeg => jpeg(&bytes, upright),
        ImageFormat::Png => {
            let mut png = Png::from_bytes(bytes).ok()?;
            const KEPT: [&[u8; 4]; 15] = [
                b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD",
                b"pHYs", b"acTL", b"fcTL", b"fdAT",
            ];
            png.chunks_mut().retain(|chunk| KEPT.contains(&&chunk.kind()));
            png.set_exif(upright);
            Some(png.encoder().bytes())
        }
        ImageFormat::WebP => {
            let mut webp = WebP::from_bytes(bytes).ok()?;
            const KEPT: [&[u8; 4]; 7] = [b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"];
            webp.chunks_mut().retain(|chunk| KEPT.contains(&&chunk.id()));
            webp.set_exif(upright);
            Some(webp.encoder().bytes())
        }
        _ => None,
    }
}

/// Whether a segment of a JPEG file is about the picture and not about how it came to be.
fn stays(marker: u8, contents: &[u8]) -> bool {
    match marker {
        markers::APP0 => contents.starts_with(b"JFIF\0"),
        // How Adobe's programs write colours.
        markers::APP14 => true,
        markers::APP2 => contents.starts_with(ICC_PREFIX),
        markers::APP1..=markers::APP15 | markers::COM => false,
        _ => true,
    }
}

/// The file without segments that do not stay, wherever they are, and without what comes after the end of the picture: there,
/// phones put other pictures and films.
fn jpeg(bytes: &[u8], exif: Option<Bytes>) -> Option<Bytes> {
    let mut kept = BytesMut::with_capacity(bytes.len());
    let mut at = 0;
    loop {
        let next = at + bytes.get(at..)?.iter().position(|byte| *byte == markers::P)?;
        kept.put_slice(&bytes[at..next]);
        let marker = *bytes.get(next + 1)?;
        at = next + 2;
        match marker {
            // Fill bytes.
            markers::P => at = next + 1,
            markers::SOI => {
                kept.put_slice(&[markers::P, marker]);
                if let Some(exif) = &exif {
                    let length = u16::try_from(2 + EXIF_PREFIX.len() + exif.len()).ok()?;
                    kept.put_slice(&[markers::P, markers::APP1]);
                    kept.put_u16(length);
                    kept.put_slice(EXIF_PREFIX);
                    kept.put_slice(exif);
                }
            }
            // A byte of the picture, and restarts.
            markers::Z | markers::RST0..=markers::RST7 => kept.put_slice(&[markers::P, marker]),
            markers::EOI => {
                kept.put_slice(&[markers::P, marker]);
                return Some(kept.freeze());
            }
            _ => {
                let length = bytes.get(at..at + 2)?;
                let end = at + usize::from(u16::from_be_bytes([length[0], length[1]]));
                if stays(marker, bytes.get(at + 2..end)?) {
                    kept.put_slice(&bytes[next..end]);
                }
                at = end;
            }
        }
    }
}

/// Exif that says which side is up, and nothing else.
fn upright(orientation: Orientation) -> Option<Bytes> {
    if orientation == Orientation::NoTransforms {
        return None;
    }
    let mut exif = BytesMut::from(&b"II*\0"[..]);
    // One entry at byte 8: tag 0x0112, one 16-bit value, and no more entries after it.
    exif.put_u32_le(8);
    exif.put_u16_le(1);
    exif.put_u16_le(0x0112);
    exif.put_u16_le(3);
    exif.put_u32_le(1);
    exif.put_u16_le(u16::from(orientation.to_exif()));
    exif.put_u16_le(0);
    exif.put_u32_le(0);
    Some(exif.freeze())
}

#[cfg(test)]
mod tests {
    use img_parts::jpeg::Jpeg;

    use super::*;

    const SECRET: &[u8] = b"48.8584 N 2.2945 E";

    /// A picture whose left half is dark.
    fn picture(width: u32, height: u32) -> image::RgbImage {
        image::RgbImage::from_fn(width, height, |x, _| {
            image::Rgb([if x < width / 2 { 20 } else { 220 }; 3])
        })
    }

    fn file(format: ImageFormat) -> Bytes {
        let mut file = Cursor::new(Vec::new());
        picture(640, 480).write_to(&mut file, format).unwrap();
        file.into_inner().into()
    }

    /// Exif that says which side is up and where this was.
    fn exif(orientation: Orientation) -> Bytes {
        [&upright(orientation).unwrap()[..], SECRET].concat().into()
    }

    fn holds(bytes: &[u8], words: &[u8]) -> bool {
        bytes.windows(words.len()).any(|window| window == words)
    }

    #[test]
    fn place_and_device_are_left_out_and_the_picture_stays() {
        for (format, mime) in [
            (ImageFormat::Jpeg, "image/jpeg"),
            (ImageFormat::Png, "image/png"),
            (ImageFormat::WebP, "image/webp"),
        ] {
            let plain = file(format);
            let mut with_exif = img_parts::DynImage::from_bytes(plain.clone()).unwrap().unwrap();
            with_exif.set_exif(Some(exif(Orientation::Rotate90)));
            let told = with_exif.encoder().bytes();
            assert!(holds(&told, SECRET), "{format:?}: the test says nothing");

            let photo = read(told.clone(), false).unwrap();
            assert!(!holds(&photo.bytes, SECRET), "{format:?}");
            assert_eq!((photo.mime, photo.thumb.width, photo.thumb.height), (mime, 480, 640));
            let pixels = |bytes: &[u8]| image::load_from_memory(bytes).unwrap().to_rgb8();
            assert_eq!(
                pixels(&photo.bytes),
                pixels(&plain),
                "{format:?}: the picture is another"
            );
            let again = read(photo.bytes.clone(), false).unwrap();
            assert_eq!(
                (again.thumb.width, again.thumb.height),
                (480, 640),
                "{format:?}: the wrong side is up"
            );
            assert_eq!(again.bytes, photo.bytes);

            let thumb = image::load_from_memory(&photo.thumb.bytes).unwrap();
            assert_eq!((thumb.width(), thumb.height()), (300, 400));
            let shade = |y| thumb.to_rgb8().get_pixel(150, y).0[0];
            assert!(
                shade(50) < 80 && shade(350) > 160,
                "{format:?}: the left side is up now"
            );

            assert_eq!(read(told.clone(), true).unwrap().bytes, told, "kept if that is wanted");
        }
    }

    #[test]
    fn words_in_other_places_of_a_jpeg_are_left_out() {
        let plain = file(ImageFormat::Jpeg);
        let mut jpeg = Jpeg::from_bytes(plain.clone()).unwrap();
        for marker in [markers::APP1, markers::APP2, markers::APP13, markers::COM] {
            let segment = img_parts::jpeg::JpegSegment::new_with_contents(marker, Bytes::from_static(SECRET));
            jpeg.segments_mut().insert(1, segment);
        }
        let told = [&jpeg.encoder().bytes(), &file(ImageFormat::Jpeg), SECRET].concat();
        assert!(holds(&told, SECRET));
        assert_eq!(read(told.into(), false).unwrap().bytes, plain);
    }

    #[test]
    fn what_is_no_photo_is_told_apart() {
        let gif = Bytes::from_static(b"GIF89a\x01\0\x01\0\0\0\0;");
        for (bytes, fault) in [
            (Bytes::new(), Fault::Unknown),
            (Bytes::from_static(b"hello"), Fault::Unknown),
            (gif, Fault::Unknown),
            (file(ImageFormat::Jpeg).slice(..200), Fault::Broken),
            (file(ImageFormat::Png).slice(..60), Fault::Broken),
            (file(ImageFormat::WebP).slice(..30), Fault::Broken),
        ] {
            assert_eq!(read(bytes, false).unwrap_err(), fault);
        }
    }

    #[test]
    fn any_damage_is_a_fault_and_no_panic() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            let mut small = Cursor::new(Vec::new());
            picture(24, 16).write_to(&mut small, format).unwrap();
            let whole = small.into_inner();
            for at in 0..whole.len() {
                let _ = read(Bytes::copy_from_slice(&whole[..at]), false);
                let mut bent = whole.clone();
                bent[at] ^= 0xff;
                let _ = read(bent.into(), false);
            }
        }
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        // 60,000 x 60,000 pixels in a file of a few bytes, and one whose size is allowed along each side.
        for side in [60_000_u32, 19_000] {
            let mut png = Png::from_bytes(file(ImageFormat::Png)).unwrap();
            let header = &mut png.chunks_mut()[0];
            let mut contents = header.contents().to_vec();
            contents[..4].copy_from_slice(&side.to_be_bytes());
            contents[4..8].copy_from_slice(&side.to_be_bytes());
            *header = img_parts::png::PngChunk::new(*b"IHDR", contents.into());
            assert_eq!(read(png.encoder().bytes(), false).unwrap_err(), Fault::TooLarge);
        }
    }
}
