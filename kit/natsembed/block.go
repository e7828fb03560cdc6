package natsembed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A block is a file of a stream's messages, as JetStream's file store writes it without
// encryption and compression. The store only appends to the last block of a stream, one
// record after another:
//
//	length(4) sequence(8) time(8) subject length(2) subject headers message hash(8)
//
// Bits at the top of length and sequence are marks: a record may also say that a message was
// deleted. Its sequence was given to a message then, which stood in front of it.
type block struct {
	number int
	path   string
	file   *os.File    // stays open, so that this process hears of a failed write-back
	info   os.FileInfo // of the file; a rewritten block is another file
	end    int64       // bytes of the records that were read
	last   uint64      // the highest sequence among them
	synced int64       // bytes of the records that were read before the last sync
}

const (
	headerSize = 12 // bytes of a record that are read: length and sequence
	minRecord  = 30 // bytes
	maxRecord  = 1 << 30
	lengthMask = 1<<31 - 1
	seqMask    = 1<<62 - 1
)

func openBlock(dir string, number int) (*block, error) {
	path := blockPath(dir, number)
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &block{number: number, path: path, file: file, info: info}, nil
}

func blockPath(dir string, number int) string {
	return filepath.Join(dir, strconv.Itoa(number)+".blk")
}

// read reads on to the last record that the file holds completely. The operating system makes
// a file longer only after it has taken the bytes, so what is read here is what a later sync
// writes to the disk.
func (b *block) read(buffer []byte) error {
	info, err := b.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < b.end {
		return fmt.Errorf("%s has %d bytes, and had %d: it was cut off", b.path, info.Size(), b.end)
	}
	var chunk []byte // the bytes of the file from b.end on, as far as they were read
	for b.end+minRecord <= info.Size() {
		if len(chunk) < headerSize {
			n, err := b.file.ReadAt(buffer, b.end)
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if chunk = buffer[:n]; n < headerSize {
				return nil
			}
		}
		length := int64(binary.LittleEndian.Uint32(chunk) & lengthMask)
		if length < minRecord || length > maxRecord || b.end+length > info.Size() {
			return nil // not complete yet
		}
		b.last = max(b.last, binary.LittleEndian.Uint64(chunk[4:])&seqMask)
		b.end += length
		chunk = chunk[min(length, int64(len(chunk))):]
	}
	return nil
}

// sync writes all that the file holds to the disk, if records were read since the last sync.
func (b *block) sync(fsync func(*os.File) error) error {
	if b.end == b.synced {
		return nil
	}
	if err := fsync(b.file); err != nil {
		return err
	}
	b.synced = b.end
	return nil
}

// replaced reports whether the block's name leads to another file by now, or to none.
func (b *block) replaced() (bool, error) {
	info, err := os.Stat(b.path)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	return err == nil && !os.SameFile(info, b.info), err
}

// blocksIn returns the numbers of the blocks in a folder, in order. A folder that does not
// exist has none.
func blocksIn(dir string) (numbers []int, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if number, ok := strings.CutSuffix(e.Name(), ".blk"); ok {
			if n, err := strconv.Atoi(number); err == nil && n > 0 {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	return numbers, ignoreMissing(err)
}

// lastSequence returns the last sequence in the blocks of a folder, 0 if there is none.
func lastSequence(dir string) (last uint64, err error) {
	numbers, err := blocksIn(dir)
	if err != nil {
		return 0, err
	}
	buffer := make([]byte, 64<<10)
	for _, number := range slices.Backward(numbers) {
		b, err := openBlock(dir, number)
		if err != nil {
			return 0, err
		}
		if err := errors.Join(b.read(buffer), b.file.Close()); err != nil || b.last > 0 {
			return b.last, err
		}
	}
	return 0, nil
}
