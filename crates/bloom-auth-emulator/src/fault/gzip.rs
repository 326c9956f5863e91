//! A gzip member that is small, and huge once it is inflated.

/// What precedes the blocks of [`MATCHES`]: the header of gzip (RFC 1952), then
/// of one block with fixed codes (RFC 1951), and five bytes as literals. Those
/// have codes of nine bits, which together with the three of the block's header
/// make whole bytes, so that what follows can be repeated byte by byte.
pub(super) fn start() -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut bits = Bits::default();
    bits.push(0b011, 3);
    for _ in 0..5 {
        // The code of 0xFF, whose highest bit comes first.
        bits.push(0b1_1111_1111, 9);
    }
    bytes.extend(bits.0);
    bytes
}

/// So many bytes this makes of [`matches`] once inflated.
pub(super) const INFLATED: u32 = 8 * 258;

/// Eight times the code of 13 bits for "258 bytes as the one before".
pub(super) fn matches() -> Vec<u8> {
    let mut bits = Bits::default();
    for _ in 0..8 {
        // Length 258 is symbol 285, in bits 11000101, highest first; distance 1
        // is five zeros.
        bits.push(0b1010_0011, 8);
        bits.push(0, 5);
    }
    bits.0
}

/// The end of the block, and a checksum that nobody gets to.
pub(super) fn end() -> Vec<u8> {
    vec![0; 9]
}

/// Bits in the order of deflate: the lowest of each byte first.
#[derive(Default)]
struct Bits(Vec<u8>, u32);

impl Bits {
    fn push(&mut self, bits: u32, count: u32) {
        for index in 0..count {
            if self.1.is_multiple_of(8) {
                self.0.push(0);
            }
            if let Some(last) = self.0.last_mut() {
                *last |= u8::from(bits >> index & 1 == 1) << (self.1 % 8);
            }
            self.1 += 1;
        }
    }
}
