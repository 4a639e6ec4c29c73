//! Changes of protocol buffers that keep the lengths of what messages lie in.

use crate::numbers::Numbers;

/// A field of a message.
#[derive(Clone)]
pub(crate) struct Field {
    number: u64,
    value: Value,
}

#[derive(Clone)]
enum Value {
    Number(u64),
    Eight([u8; 8]),
    Four([u8; 4]),
    Bytes(Vec<u8>),
    Message(Vec<Field>),
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn put(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The fields of a message, or of bytes that read like one; `None` if they do not.
pub(crate) fn fields(mut bytes: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut bytes)?),
            1 => {
                let (value, rest) = bytes.split_first_chunk()?;
                bytes = rest;
                Value::Eight(*value)
            }
            2 => {
                let len = usize::try_from(varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(len)?;
                bytes = rest;
                // A text of two letters may be a message too; what is made of it is an input like any.
                let inner = fields_of_a_part(value);
                inner.map_or_else(|| Value::Bytes(value.to_vec()), Value::Message)
            }
            5 => {
                let (value, rest) = bytes.split_first_chunk()?;
                bytes = rest;
                Value::Four(*value)
            }
            _ => return None,
        };
        fields.push(Field { number: key >> 3, value });
    }
    Some(fields)
}

/// [`fields`] of bytes that are no name: those of messages begin with a key below 32.
fn fields_of_a_part(bytes: &[u8]) -> Option<Vec<Field>> {
    let is_text = bytes.iter().all(|byte| byte.is_ascii_graphic());
    if bytes.is_empty() || is_text { None } else { fields(bytes) }
}

/// The bytes of fields.
pub(crate) fn bytes(fields: &[Field], out: &mut Vec<u8>) {
    for field in fields {
        let mut key = |kind| put(field.number << 3 | kind, out);
        match &field.value {
            Value::Number(value) => {
                key(0);
                put(*value, out);
            }
            Value::Eight(value) => {
                key(1);
                out.extend(value);
            }
            Value::Four(value) => {
                key(5);
                out.extend(value);
            }
            Value::Bytes(value) => {
                key(2);
                put(value.len() as u64, out);
                out.extend(value);
            }
            Value::Message(inner) => {
                key(2);
                let mut value = Vec::new();
                bytes(inner, &mut value);
                put(value.len() as u64, out);
                out.extend(value);
            }
        }
    }
}

fn count(fields: &[Field]) -> usize {
    let inner = |field: &Field| match &field.value {
        Value::Message(inner) => count(inner),
        _ => 0,
    };
    fields.iter().map(|field| 1 + inner(field)).sum()
}

/// The message in which field `at` of all lies, and its place there.
fn find<'f>(fields: &'f mut Vec<Field>, at: &mut usize) -> Option<(&'f mut Vec<Field>, usize)> {
    for i in 0..fields.len() {
        if *at == 0 {
            return Some((fields, i));
        }
        *at -= 1;
        if let Value::Message(inner) = &mut fields[i].value {
            let inside = count(inner);
            if *at < inside {
                // Asked again, since a borrow that is returned lasts.
                let Value::Message(inner) = &mut fields[i].value else { return None };
                return find(inner, at);
            }
            *at -= inside;
        }
    }
    None
}

/// A field drawn of all.
fn drawn(fields: &[Field], numbers: &mut Numbers) -> Option<Field> {
    let mut at = numbers.below(count(fields));
    let mut fields = fields;
    'message: loop {
        for field in fields {
            if at == 0 {
                return Some(field.clone());
            }
            at -= 1;
            if let Value::Message(inner) = &field.value {
                let inside = count(inner);
                if at < inside {
                    fields = inner;
                    continue 'message;
                }
                at -= inside;
            }
        }
        return None;
    }
}

/// One change of a message; `seeds` give parts.
pub(crate) fn change(fields: &mut Vec<Field>, seeds: &[Vec<Field>], numbers: &mut Numbers) {
    let whole = count(fields);
    let mut at = numbers.below(whole);
    let seed = &seeds[numbers.below(seeds.len())];
    let own = drawn(fields, numbers);
    let Some((message, i)) = find(fields, &mut at) else { return };
    match numbers.below(10) {
        0 => drop(message.remove(i)),
        1 if whole < 2000 => message.insert(i, message[i].clone()),
        2 => {
            let other = numbers.below(message.len());
            message.swap(i, other);
        }
        // What stands in the same field elsewhere: another operator, another name, another shape.
        3 | 4 => {
            let (number, is_message) = (message[i].number, is_message(&message[i]));
            let others = (0..32).filter_map(|_| drawn(seed, numbers));
            let mut fitting =
                others.filter(|other| other.number == number && self::is_message(other) == is_message);
            if let Some(other) = fitting.next() {
                message[i].value = other.value;
            }
        }
        5 => {
            if let Some(own) = own.filter(|own| is_message(own) == is_message(&message[i])) {
                message[i].value = own.value;
            }
        }
        6 if whole < 2000 => message.extend(drawn(seed, numbers)),
        7 => message[i].number = 1 + numbers.below(20) as u64,
        _ => change_value(&mut message[i].value, numbers),
    }
}

fn is_message(field: &Field) -> bool {
    matches!(field.value, Value::Message(_))
}

fn change_value(value: &mut Value, numbers: &mut Numbers) {
    match value {
        Value::Number(value) => {
            *value = match numbers.below(3) {
                0 => numbers.field(),
                1 => numbers.below(30) as u64,
                _ => value.wrapping_add(numbers.below(3) as u64).wrapping_sub(1),
            };
        }
        Value::Eight(value) => *value = numbers.field().to_le_bytes(),
        Value::Four(value) => {
            const FLOATS: [f32; 8] =
                [0.0, -1.0, f32::NAN, f32::INFINITY, f32::MAX, 1e-40, 0.5, -0.0];
            *value = FLOATS[numbers.below(FLOATS.len())].to_le_bytes();
        }
        Value::Bytes(bytes) => {
            let width = [1, 4, 8][numbers.below(3)];
            let places = bytes.len() / width;
            match numbers.below(4) {
                0 => bytes.truncate(numbers.below(bytes.len() + 1)),
                1 => bytes.extend(&numbers.field().to_le_bytes()[..width]),
                _ if places > 0 => {
                    let at = width * numbers.below(places);
                    let small = numbers.below(5) as u64;
                    let field = if numbers.below(2) == 0 { small } else { numbers.field() };
                    bytes[at..at + width].copy_from_slice(&field.to_le_bytes()[..width]);
                }
                _ => bytes.push(b'x'),
            }
        }
        Value::Message(inner) => inner.truncate(numbers.below(inner.len() + 1)),
    }
}
