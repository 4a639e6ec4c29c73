//! A machine for the pickles of plain tensors (Python's pickletools documents the instructions). It makes values
//! and calls nothing; what would be a call is noted, and only the few that tensors need are known.

use super::TorchError;

/// A value on the machine's stack. Containers are numbers of nodes, so that no nesting, however deep, needs
/// recursion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'p> {
    /// None, a truth value, a float, or anything that is not needed.
    Other,
    Int(i64),
    Text(&'p str),
    Global(Global),
    Node(usize),
}

/// What a value holds.
#[derive(Debug)]
pub(super) enum Node<'p> {
    Tuple(Vec<Value<'p>>),
    Dict(Vec<(Value<'p>, Value<'p>)>),
    /// A list, whose content is not needed.
    List,
    /// A tensor by what it is rebuilt from.
    Tensor(Value<'p>),
    /// What lies in another member of the archive.
    Storage(Value<'p>),
}

/// The names that plain tensors need.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(super::super::FileDtype),
}

impl Global {
    fn of(module: &str, name: &str) -> Result<Global, TorchError> {
        use super::super::FileDtype as D;
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Global::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
            ("torch", "FloatStorage") => Global::Storage(D::F32),
            ("torch", "DoubleStorage") => Global::Storage(D::F64),
            ("torch", "HalfStorage") => Global::Storage(D::F16),
            ("torch", "BFloat16Storage") => Global::Storage(D::BF16),
            ("torch", "LongStorage") => Global::Storage(D::I64),
            ("torch", "IntStorage") => Global::Storage(D::I32),
            ("torch", "ShortStorage") => Global::Storage(D::I16),
            ("torch", "CharStorage") => Global::Storage(D::I8),
            ("torch", "ByteStorage") => Global::Storage(D::U8),
            ("torch", "BoolStorage") => Global::Storage(D::BOOL),
            _ => return Err(TorchError::Object { name: format!("{module}.{name}") }),
        })
    }
}

/// What a pickle has made.
#[derive(Debug)]
pub(super) struct Made<'p> {
    pub(super) top: Value<'p>,
    nodes: Vec<Node<'p>>,
}

impl<'p> Made<'p> {
    pub(super) fn node(&self, value: Value<'p>) -> Option<&Node<'p>> {
        match value {
            Value::Node(node) => self.nodes.get(node),
            _ => None,
        }
    }

    pub(super) fn tuple(&self, value: Value<'p>) -> Option<&[Value<'p>]> {
        match self.node(value)? {
            Node::Tuple(values) => Some(values),
            _ => None,
        }
    }
}

struct Machine<'p> {
    pickle: &'p [u8],
    at: usize,
    stack: Vec<Value<'p>>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: Vec<Option<Value<'p>>>,
    nodes: Vec<Node<'p>>,
}

/// Runs a pickle to its end. Memory is bounded by a multiple of its bytes.
pub(super) fn read(pickle: &[u8]) -> Result<Made<'_>, TorchError> {
    let (stack, marks, memo, nodes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut machine = Machine { pickle, at: 0, stack, marks, memo, nodes };
    while !machine.step()? {}
    let top = machine.pop()?;
    Ok(Made { top, nodes: machine.nodes })
}

impl<'p> Machine<'p> {
    fn damaged(&self, problem: &'static str) -> TorchError {
        TorchError::Pickle { at: self.at, problem }
    }

    fn take(&mut self, count: usize) -> Result<&'p [u8], TorchError> {
        let rest = &self.pickle[self.at..];
        let taken = rest.get(..count).ok_or_else(|| self.damaged("it ends early"))?;
        self.at += count;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], TorchError> {
        let mut chunk = [0; N];
        chunk.copy_from_slice(self.take(N)?);
        Ok(chunk)
    }

    fn length(&mut self) -> Result<usize, TorchError> {
        Ok(u32::from_le_bytes(self.chunk()?) as usize)
    }

    fn text(&mut self, count: usize) -> Result<&'p str, TorchError> {
        let bytes = self.take(count)?;
        str::from_utf8(bytes).map_err(|_| self.damaged("a text is not UTF-8"))
    }

    fn line(&mut self) -> Result<&'p str, TorchError> {
        let end = self.pickle[self.at..].iter().position(|byte| *byte == b'\n');
        let line = self.text(end.ok_or_else(|| self.damaged("it ends early"))?)?;
        self.at += 1;
        Ok(line)
    }

    fn push(&mut self, value: Value<'p>) {
        self.stack.push(value);
    }

    fn make(&mut self, node: Node<'p>) {
        self.push(Value::Node(self.nodes.len()));
        self.nodes.push(node);
    }

    fn pop(&mut self) -> Result<Value<'p>, TorchError> {
        // What lies below a mark belongs to an unfinished container.
        if self.marks.last().is_some_and(|mark| *mark >= self.stack.len()) {
            return Err(self.damaged("a value is missing"));
        }
        self.stack.pop().ok_or_else(|| self.damaged("a value is missing"))
    }

    fn popped(&mut self, count: usize) -> Result<Vec<Value<'p>>, TorchError> {
        let mut values = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        values.reverse();
        Ok(values)
    }

    /// The values above the last mark.
    fn marked(&mut self) -> Result<Vec<Value<'p>>, TorchError> {
        let mark = self.marks.pop().ok_or_else(|| self.damaged("a mark is missing"))?;
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, at: usize) -> Result<(), TorchError> {
        let value = *self.stack.last().ok_or_else(|| self.damaged("a value is missing"))?;
        // Every note takes an instruction, so that honest numbers are below the length.
        if at >= self.pickle.len() {
            return Err(self.damaged("a note has a number that no pickle needs"));
        }
        if self.memo.len() <= at {
            self.memo.resize(at + 1, None);
        }
        self.memo[at] = Some(value);
        Ok(())
    }

    fn recall(&mut self, at: usize) -> Result<(), TorchError> {
        let value = self.memo.get(at).copied().flatten();
        let value = value.ok_or_else(|| self.damaged("a note is missing"))?;
        self.push(value);
        Ok(())
    }

    /// Puts pairs of keys and values into the dictionary on the stack.
    fn fill(&mut self, pairs: &[Value<'p>]) -> Result<(), TorchError> {
        let dict = self.stack.last().copied();
        let Some(Value::Node(node)) = dict else {
            return Err(self.damaged("there is no dictionary"));
        };
        let Some(Node::Dict(entries)) = self.nodes.get_mut(node) else {
            return Err(self.damaged("there is no dictionary"));
        };
        if !pairs.len().is_multiple_of(2) {
            return Err(self.damaged("a key has no value"));
        }
        entries.extend(pairs.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        Ok(())
    }

    /// What a call of one of the known names makes.
    fn call(&mut self) -> Result<(), TorchError> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        match callee {
            Value::Global(Global::OrderedDict) => self.make(Node::Dict(Vec::new())),
            Value::Global(Global::RebuildTensor) => self.make(Node::Tensor(arguments)),
            Value::Global(Global::RebuildParameter) => {
                let first = match arguments {
                    Value::Node(node) => match self.nodes.get(node) {
                        Some(Node::Tuple(values)) => values.first().copied(),
                        _ => None,
                    },
                    _ => None,
                };
                let first = first.ok_or_else(|| self.damaged("a parameter has no tensor"))?;
                self.push(first);
            }
            _ => return Err(self.damaged("what is called is no known name")),
        }
        Ok(())
    }

    /// Runs an instruction, and says whether it was the last.
    fn step(&mut self) -> Result<bool, TorchError> {
        let at = self.at;
        let [code] = self.chunk()?;
        match code {
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'.' => return Ok(true),
            b'(' => self.marks.push(self.stack.len()),
            b'N' | 0x88 | 0x89 => self.push(Value::Other),
            b'G' => {
                self.take(8)?;
                self.push(Value::Other);
            }
            b'K' => {
                let [byte] = self.chunk()?;
                self.push(Value::Int(byte.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.chunk()?);
                self.push(Value::Int(value.into()));
            }
            b'J' => {
                let value = i32::from_le_bytes(self.chunk()?);
                self.push(Value::Int(value.into()));
            }
            0x8a => {
                let [count] = self.chunk()?;
                let value = long(self.take(count.into())?);
                self.push(value.map_or(Value::Other, Value::Int));
            }
            b'X' => {
                let count = self.length()?;
                let text = self.text(count)?;
                self.push(Value::Text(text));
            }
            0x8c | b'U' => {
                let [count] = self.chunk()?;
                let text = self.text(count.into())?;
                self.push(Value::Text(text));
            }
            b'}' => self.make(Node::Dict(Vec::new())),
            b']' => self.make(Node::List),
            b')' => self.make(Node::Tuple(Vec::new())),
            b't' => {
                let values = self.marked()?;
                self.make(Node::Tuple(values));
            }
            0x85..=0x87 => {
                let values = self.popped(usize::from(code - 0x84))?;
                self.make(Node::Tuple(values));
            }
            b's' => {
                let pair = self.popped(2)?;
                self.fill(&pair)?;
            }
            b'u' => {
                let pairs = self.marked()?;
                self.fill(&pairs)?;
            }
            b'a' => drop(self.pop()?),
            b'e' => drop(self.marked()?),
            // Attributes of a dictionary, such as the versions of its modules.
            b'b' => drop(self.pop()?),
            b'q' => {
                let [at] = self.chunk()?;
                self.remember(at.into())?;
            }
            b'r' => {
                let at = self.length()?;
                self.remember(at)?;
            }
            0x94 => self.remember(self.memo.len())?,
            b'h' => {
                let [at] = self.chunk()?;
                self.recall(at.into())?;
            }
            b'j' => {
                let at = self.length()?;
                self.recall(at)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(Global::of(module, name)?));
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => {
                    self.push(Value::Global(Global::of(module, name)?));
                }
                _ => return Err(self.damaged("a name is no text")),
            },
            b'Q' => {
                let id = self.pop()?;
                self.make(Node::Storage(id));
            }
            b'R' => self.call()?,
            code => return Err(TorchError::Instruction { code, at }),
        }
        Ok(false)
    }
}

/// A little-endian number of up to 8 bytes.
fn long(bytes: &[u8]) -> Option<i64> {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut all = [if negative { 0xff } else { 0 }; 8];
    all.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(all))
}
