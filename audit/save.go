package audit

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
)

// saver writes the state of an audit to a new file. A nil saver writes nothing.
type saver struct {
	path string
	file *os.File
	out  *bufio.Writer
	sum  hash.Hash
}

func (a *audit) newSaver() (*saver, error) {
	if a.Save == "" {
		return nil, nil
	}
	f, err := os.CreateTemp(filepath.Dir(a.Save), filepath.Base(a.Save)+".*")
	if err != nil {
		return nil, fmt.Errorf("save the audit: %w", err)
	}
	s := &saver{path: a.Save, file: f, sum: sha256.New()}
	s.out = bufio.NewWriterSize(io.MultiWriter(f, s.sum), 1<<20)
	_, err = s.out.WriteString(magic)
	return s, err
}

// write writes a record.
func (s *saver) write(record []byte) error {
	if _, err := s.out.Write(binary.AppendUvarint(nil, uint64(len(record)))); err != nil {
		return err
	}
	_, err := s.out.Write(record)
	return err
}

// order returns what writes the records of orders, nil without a saver.
func (s *saver) order() func([]byte) error {
	if s == nil {
		return nil
	}
	return s.write
}

// mention returns what writes mentions, nil without a saver.
func (s *saver) mention() func([]byte) error {
	if s == nil {
		return nil
	}
	return func(m []byte) error { return s.write(append([]byte{isMention}, m...)) }
}

// finish puts the file in its place, unless the audit has found something: an audit that goes
// on from it would not find that again.
func (s *saver) finish(ctx context.Context, m *model) error {
	if s == nil || m.report.Total() > 0 {
		return nil
	}
	var content struct {
		Marks []mark `json:"marks"`
		Known known  `json:"known"`
	}
	for _, name := range m.eventStreams() {
		k, err := m.markAt(ctx, name, m.cuts[name].causes)
		if err != nil {
			return fmt.Errorf("save the audit: stream %s: %w", name, err)
		}
		content.Marks = append(content.Marks, k)
	}
	content.Known = knownOf(m)
	data, err := json.Marshal(content)
	if err == nil {
		err = s.write(append([]byte{isKnown}, data...))
	}
	if err == nil {
		err = s.out.WriteByte(0)
	}
	if err == nil {
		err = s.out.Flush()
	}
	if err == nil {
		_, err = s.file.Write(s.sum.Sum(nil))
	}
	if err == nil {
		err = s.file.Sync()
	}
	if err == nil {
		err = os.Rename(s.file.Name(), s.path)
	}
	if err != nil {
		return fmt.Errorf("save the audit: %w", err)
	}
	m.report.Saved = true
	return nil
}

// close removes what was not finished.
func (s *saver) close() error {
	if s == nil {
		return nil
	}
	err := s.file.Close()
	if removed := os.Remove(s.file.Name()); !errors.Is(removed, os.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}
