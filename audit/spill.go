package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"sync"
)

// spill holds records in partitions by a key, so that those of one key can be looked at
// together without having all in memory. What does not fit into its buffers is in one
// temporary file; where none can be made, everything stays in memory.
type spill struct {
	mu    sync.Mutex
	parts []part
	file  *os.File // nil until a buffer is full
	size  int64    // of the file
	never bool     // no file can be made
}

// part is the records of some keys, each after its length: first those in the file, then those
// in the buffer.
type part struct {
	chunks []chunk
	buffer []byte
}

type chunk struct {
	at   int64
	size int
}

// How large a spill is in memory: a partition is read at once.
const (
	chunkSize = 16 << 10
	partSize  = 4 << 20 // what a partition should hold at most, while there are maxParts at most
	maxParts  = 4096
	minParts  = 16
)

// newSpill returns a spill for about so many bytes.
func newSpill(expected uint64) *spill {
	return &spill{parts: make([]part, max(minParts, min(maxParts, expected/partSize)))}
}

// add adds a record, which it copies.
func (s *spill) add(key uint64, record []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.parts[key%uint64(len(s.parts))]
	p.buffer = append(binary.AppendUvarint(p.buffer, uint64(len(record))), record...)
	if len(p.buffer) < chunkSize || s.never {
		return nil
	}
	return s.flush(p)
}

func (s *spill) flush(p *part) (err error) {
	if s.file == nil {
		if s.file, err = os.CreateTemp("", "lonja-audit-*.spill"); err != nil {
			s.file, s.never = nil, true // a read-only container has no such folder
			return nil
		}
		// Without a name it is gone when the process ends, however that happens.
		if err := os.Remove(s.file.Name()); err != nil {
			return err
		}
	}
	if _, err := s.file.WriteAt(p.buffer, s.size); err != nil {
		return err
	}
	p.chunks = append(p.chunks, chunk{s.size, len(p.buffer)})
	s.size += int64(len(p.buffer))
	p.buffer = p.buffer[:0]
	return nil
}

// eachPart calls handle with the records of each partition, in the order in which they were
// added. The records are valid during the call. A partition is free again after it.
func (s *spill) eachPart(handle func(records [][]byte) error) error {
	for i := range s.parts {
		p := &s.parts[i]
		var all bytes.Buffer
		for _, c := range p.chunks {
			data := make([]byte, c.size)
			if _, err := s.file.ReadAt(data, c.at); err != nil {
				return err
			}
			all.Write(data)
		}
		all.Write(p.buffer)
		records, err := split(all.Bytes())
		if err != nil {
			return err
		}
		*p = part{}
		if err := handle(records); err != nil {
			return err
		}
	}
	return nil
}

// split returns the records in some bytes, each of which is after its length.
func split(data []byte) (records [][]byte, err error) {
	for len(data) > 0 {
		n, used := binary.Uvarint(data)
		if used <= 0 || n > uint64(len(data)-used) {
			return nil, errCutOff
		}
		records = append(records, data[used:used+int(n)])
		data = data[used+int(n):]
	}
	return records, nil
}

var errCutOff = errors.New("a record is cut off")

func (s *spill) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
