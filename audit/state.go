package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
)

// State is what an audit that found nothing knew in the end: how far it read each stream, and
// what later events can be judged by. An audit that goes on from there reads only what came
// after, and finds what it would have found if it had read everything, as long as nothing
// before has changed since.
type State struct {
	path  string
	marks []mark
	known known
}

// mark is how far a stream was read, and the message there, by which the stream is recognised.
type mark struct {
	Stream   string    `json:"stream"`
	Created  time.Time `json:"created"`
	Sequence uint64    `json:"sequence"` // 0 for an empty stream
	Event    string    `json:"event"`    // the id in the message's header
	Digest   string    `json:"digest"`   // of the whole message
}

// ErrState means that a state cannot be used: the file is damaged, another version of the
// program wrote it, or the log is not the one that was audited.
var ErrState = errors.New("the earlier audit cannot be used; audit without it")

// The kinds of records in a state's file, besides isOrder. The last one is isKnown.
const (
	isMention = 'm'
	isKnown   = 'k'
)

// magic begins the file. It names all steps, because orders hold their numbers.
var magic = func() string {
	sum := sha256.Sum256([]byte(strings.Join(names[:], "\n")))
	return "lonja audit state 1 " + hex.EncodeToString(sum[:8]) + "\n"
}()

// LoadState reads the file that [Config.Save] wrote. The error wraps [ErrState] if it is
// damaged or of another version.
func LoadState(path string) (*State, error) {
	s := &State{path: path}
	var content struct {
		Marks []mark `json:"marks"`
		Known known  `json:"known"`
	}
	found := false
	err := s.each(func(kind byte, record []byte) error {
		if kind != isKnown {
			return nil
		}
		found = true
		return json.Unmarshal(record, &content)
	})
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, ErrState):
		return nil, err
	case err != nil || !found:
		return nil, fmt.Errorf("%s is damaged: %w (%v)", path, ErrState, err)
	}
	s.marks, s.known = content.Marks, content.Known
	return s, nil
}

// each calls handle for every record of the file, and returns an error unless the file is as
// it was written.
func (s *State) each(handle func(kind byte, record []byte) error) error {
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	in := &summed{in: bufio.NewReaderSize(f, 1<<20), sum: sha256.New()}
	begin := make([]byte, len(magic))
	if _, err := io.ReadFull(in, begin); err != nil || string(begin) != magic {
		return fmt.Errorf("%s was not written by this version of lonja audit: %w", s.path, ErrState)
	}
	var record []byte
	for {
		n, err := binary.ReadUvarint(in)
		if err != nil || n > maxRecord {
			return errors.Join(errCutOff, err)
		}
		if n == 0 {
			break
		}
		record = slices.Grow(record[:0], int(n))[:n]
		if _, err := io.ReadFull(in, record); err != nil {
			return err
		}
		if err := handle(record[0], record[1:]); err != nil {
			return err
		}
	}
	want := in.sum.Sum(nil)
	is := make([]byte, len(want))
	if _, err := io.ReadFull(in.in, is); err != nil || !bytes.Equal(is, want) {
		return errors.New("the checksum differs")
	}
	return nil
}

// maxRecord bounds what is read into memory at once of a damaged file.
const maxRecord = 1 << 32

// summed reads and hashes.
type summed struct {
	in  *bufio.Reader
	sum hash.Hash
}

func (r *summed) Read(p []byte) (int, error) {
	n, err := r.in.Read(p)
	r.sum.Write(p[:n])
	return n, err
}

func (r *summed) ReadByte() (byte, error) {
	b, err := r.in.ReadByte()
	if err == nil {
		r.sum.Write([]byte{b})
	}
	return b, err
}

// mark returns how far the earlier audit read a stream, 0 without one.
func (s *State) mark(stream string) uint64 {
	if s == nil {
		return 0
	}
	for _, k := range s.marks {
		if k.Stream == stream {
			return k.Sequence
		}
	}
	return 0
}

// checkSince checks that the log is the one that was audited before: each stream is as old,
// reaches as far, and holds the same message at the mark.
func (a *audit) checkSince(ctx context.Context) error {
	if a.Since == nil {
		return nil
	}
	for _, was := range a.Since.marks {
		if !slices.Contains(a.eventStreams(), was.Stream) {
			return fmt.Errorf("%s: streams.yaml has no stream %s any more: %w", a.Since.path, was.Stream, ErrState)
		}
		is, err := a.markAt(ctx, was.Stream, was.Sequence)
		if err != nil {
			return fmt.Errorf("%s: stream %s at %d: %w: %w", a.Since.path, was.Stream, was.Sequence, ErrState, err)
		}
		aged := is.Event == "" && a.ages[was.Stream] > 0
		if !is.Created.Equal(was.Created) || !aged && (is.Event != was.Event || is.Digest != was.Digest) {
			return fmt.Errorf("%s: stream %s, created %s, holds %q at %d; the audited one, created %s, held %q: %w", a.Since.path, was.Stream,
				is.Created.Format(time.RFC3339), is.Event, was.Sequence, was.Created.Format(time.RFC3339), was.Event, ErrState)
		}
	}
	return nil
}

// markAt returns the mark of a stream at a sequence.
func (a *audit) markAt(ctx context.Context, name string, seq uint64) (mark, error) {
	stream, err := a.JetStream.Stream(ctx, name)
	if err != nil {
		return mark{}, err
	}
	k := mark{Stream: name, Created: stream.CachedInfo().Created, Sequence: seq}
	if seq < max(1, stream.CachedInfo().Config.FirstSeq) {
		return k, nil // nothing was ever there
	}
	m, err := stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) && a.ages[name] > 0 {
		return k, nil // it has reached its age
	}
	if err != nil {
		return k, err
	}
	k.Event, k.Digest = m.Header.Get(eventlog.HeaderID), digest(m.Subject, m.Header, m.Data)
	return k, nil
}

// digest hashes a message as it is stored. What the server adds to a header when it reads the
// message directly is left out.
func digest(subject string, h nats.Header, data []byte) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n", subject)
	var fields []string
	for name, values := range h {
		if name == "Nats-Stream" || name == "Nats-Sequence" || name == "Nats-Time-Stamp" || name == "Nats-Subject" || name == "Nats-Num-Pending" || name == "Nats-Last-Sequence" {
			continue
		}
		fields = append(fields, fmt.Sprintf("%s: %q\n", name, values))
	}
	slices.Sort(fields)
	for _, field := range fields {
		io.WriteString(sum, field)
	}
	sum.Write(data)
	return hex.EncodeToString(sum.Sum(nil))
}

// restore gives a model what the earlier audit knew.
func (s *State) restore(m *model) error {
	var number [256]uint8 // of the stream now, by its number then
	for then, k := range s.marks {
		number[then] = uint8(slices.Index(m.eventStreams(), k.Stream))
	}
	err := s.each(func(kind byte, record []byte) error {
		switch kind {
		case isOrder:
			id := (&reader{data: record}).text()
			return m.facts.add(hashOf(id), append([]byte{isOrder}, record...))
		case isMention:
			if len(record) != mentionSize {
				return errCutOff
			}
			x := decodeMention(record)
			x.stream = number[x.stream]
			encoded := x.encode()
			return m.mentions.add(x.of, encoded[:])
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s is damaged: %w (%v)", s.path, ErrState, err)
	}
	s.known.restore(m)
	return nil
}
