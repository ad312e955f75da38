//! A walk over protobuf bytes that checks counts and lengths against a table, without allocating: a decoder would build
//! a vector of half a million empty messages before anyone could count them. Not a decoder.

use crate::DecodeError;

/// Fields with a rule in one message: size of the counters on the stack.
const RULES_MAX: usize = 8;

/// What one field of a message may look like.
#[derive(Debug)]
pub(crate) struct Rule {
    number: u32,
    /// For error messages: `message.field`.
    name: &'static str,
    count_min: usize,
    count_max: usize,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    /// `bytes` or `string` of a length in this range.
    Bytes { bytes_min: usize, bytes_max: usize },
    /// A message with rules of its own.
    Message(&'static [Rule]),
    /// Numbers of 8 bytes, packed or not.
    Fixed64,
}

impl Rule {
    /// A `bytes` or `string` field of `bytes_min` to `bytes_max` bytes, which are absent when it is empty.
    pub(crate) const fn bytes(number: u32, name: &'static str, bytes_min: usize, bytes_max: usize) -> Self {
        Self {
            number,
            name,
            count_min: 0,
            count_max: 1,
            shape: Shape::Bytes { bytes_min, bytes_max },
        }
    }

    /// A message field with rules for what is in it, which may be absent.
    pub(crate) const fn message(number: u32, name: &'static str, rules: &'static [Rule]) -> Self {
        assert!(rules.len() <= RULES_MAX, "RULES_MAX is too small");
        Self {
            number,
            name,
            count_min: 0,
            count_max: 1,
            shape: Shape::Message(rules),
        }
    }

    /// Numbers of 8 bytes, at most `count_max`.
    pub(crate) const fn fixed64(number: u32, name: &'static str, count_max: usize) -> Self {
        Self {
            number,
            name,
            count_min: 0,
            count_max,
            shape: Shape::Fixed64,
        }
    }

    /// The field must be present.
    pub(crate) const fn required(mut self) -> Self {
        self.count_min = 1;
        self
    }

    /// The field may be present up to `count_max` times.
    pub(crate) const fn up_to(mut self, count_max: usize) -> Self {
        self.count_max = count_max;
        self
    }

    fn check_count(&self, count: usize) -> Result<(), DecodeError> {
        let Self {
            name: field,
            count_min,
            count_max,
            ..
        } = *self;
        if (count_min..=count_max).contains(&count) {
            Ok(())
        } else {
            Err(DecodeError::Count {
                field,
                count,
                count_min,
                count_max,
            })
        }
    }

    /// Checks one occurrence of the field; how many elements it holds.
    fn check_value(&self, value: Value<'_>) -> Result<usize, DecodeError> {
        match (&self.shape, value) {
            (&Shape::Bytes { bytes_min, bytes_max }, Value::Bytes(bytes)) => {
                if (bytes_min..=bytes_max).contains(&bytes.len()) {
                    Ok(1)
                } else {
                    Err(DecodeError::Length {
                        field: self.name,
                        bytes: bytes.len(),
                        bytes_min,
                        bytes_max,
                    })
                }
            }
            (Shape::Message(rules), Value::Bytes(bytes)) => check(bytes, rules).map(|()| 1),
            (Shape::Fixed64, Value::Bytes(bytes)) => Ok(bytes.len().div_ceil(8)),
            (Shape::Fixed64, Value::Fixed64) => Ok(1),
            _ => Err(DecodeError::Malformed),
        }
    }
}

/// Checks `bytes` against `rules`. Fields without a rule are passed over. The depth is that of the tables.
pub(crate) fn check(bytes: &[u8], rules: &[Rule]) -> Result<(), DecodeError> {
    let mut counts = [0_usize; RULES_MAX];
    let mut fields = Fields { rest: bytes };
    while let Some((number, value)) = fields.next()? {
        let Some((rule, count)) = rules.iter().zip(&mut counts).find(|(rule, _)| rule.number == number) else {
            continue;
        };
        *count += rule.check_value(value)?;
        if *count > rule.count_max {
            rule.check_count(*count)?;
        }
    }
    rules
        .iter()
        .zip(counts)
        .try_for_each(|(rule, count)| rule.check_count(count))
}

/// The fields of one message, in the order of their bytes.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) rest: &'a [u8],
}

/// A field's value, as far as its wire type tells.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Varint,
    Fixed64,
    Fixed32,
    Bytes(&'a [u8]),
}

impl<'a> Fields<'a> {
    /// The next field's number and value. Groups, which proto3 does not have, are malformed.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = u32::try_from(self.varint()?).map_err(|_| DecodeError::Malformed)?;
        let value = match key & 7 {
            0 => {
                self.varint()?;
                Value::Varint
            }
            1 => {
                self.take(8)?;
                Value::Fixed64
            }
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| DecodeError::Malformed)?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Value::Fixed32
            }
            _ => return Err(DecodeError::Malformed),
        };
        match key >> 3 {
            0 => Err(DecodeError::Malformed),
            number => Ok(Some((number, value))),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Not minimal ones included: protobuf allows them, and where one encoding is promised it is compared later.
    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Malformed)
    }
}
