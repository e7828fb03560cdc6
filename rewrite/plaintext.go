package rewrite

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lonja/events"
)

// texts are texts that must not be found anywhere: addresses, hashes of passwords, secrets.
type texts struct {
	known   map[string]bool
	begin   []bool              // whether one begins with these three bytes
	long    map[uint64][]string // by the first eight bytes
	short   map[string]bool     // those with less than eight
	longest int
}

func newTexts() *texts {
	return &texts{known: map[string]bool{}, begin: make([]bool, 1<<24), long: map[uint64][]string{}, short: map[string]bool{}}
}

// add adds a text. Those of less than three bytes are in every file, and are left out.
func (t *texts) add(text string) {
	if len(text) < 3 || t.known[text] {
		return
	}
	t.known[text], t.longest = true, max(t.longest, len(text))
	t.begin[beginning(text)] = true
	if len(text) < 8 {
		t.short[text] = true
		return
	}
	first := binary.LittleEndian.Uint64([]byte(text[:8]))
	t.long[first] = append(t.long[first], text)
}

func beginning[T string | []byte](text T) int {
	return int(text[0])<<16 | int(text[1])<<8 | int(text[2])
}

// addSealedOf adds what an event has sealed, or had to seal, as it is and as JSON.
func (t *texts) addSealedOf(e events.Event) error {
	members, err := sealedOf(e)
	if err != nil {
		return err
	}
	for _, value := range members {
		var text string
		if json.Unmarshal(value, &text) == nil && text != "" {
			t.add(text)
			t.add(string(value[1 : len(value)-1]))
		}
	}
	return nil
}

// in reports whether one of the texts is in data.
func (t *texts) in(data []byte) bool {
	for i := 0; i+3 <= len(data); i++ {
		if t.begin[beginning(data[i:])] && t.at(data[i:]) {
			return true
		}
	}
	return false
}

// at reports whether data begins with one of the texts.
func (t *texts) at(data []byte) bool {
	for n := 3; n < 8 && n <= len(data) && len(t.short) > 0; n++ {
		if t.short[string(data[:n])] {
			return true
		}
	}
	if len(data) < 8 {
		return false
	}
	return slices.ContainsFunc(t.long[binary.LittleEndian.Uint64(data)], func(text string) bool {
		return len(text) <= len(data) && string(data[:len(text)]) == text
	})
}

// inMessage reports whether one of the texts is in a message.
func (t *texts) inMessage(m stored) bool {
	for _, values := range m.header {
		if slices.ContainsFunc(values, func(v string) bool { return t.in([]byte(v)) }) {
			return true
		}
	}
	return t.in([]byte(m.subject)) || t.in(m.data)
}

// inFiles returns the paths of the files in a folder that hold one of the texts.
func (t *texts) inFiles(ctx context.Context, dir string, wanted func(path string) bool) (found []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil || !wanted(rel) {
			return err
		}
		has, err := t.inFile(path)
		if has {
			found = append(found, rel)
		}
		return err
	})
	return found, err
}

// inFile reads a file in pieces that overlap, so that no text is cut in two.
func (t *texts) inFile(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	buffer, kept := make([]byte, 1<<20+t.longest), 0
	for {
		n, err := io.ReadFull(f, buffer[kept:])
		if t.in(buffer[:kept+n]) {
			return true, nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		kept = copy(buffer, buffer[kept+n-t.longest:kept+n])
	}
}

// searchMessages searches all messages of the copy. The server may compress the files.
func (r *rewriting) searchMessages(ctx context.Context) error {
	r.report.Texts = len(r.texts.known)
	var found []string
	for _, s := range r.Streams.Streams {
		_, err := r.target.each(ctx, s.Name, func(m stored) error {
			if r.texts.inMessage(m) {
				found = append(found, fmt.Sprintf("%s:%d", s.Name, m.sequence))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return left(found)
}

// searchFiles searches all files of the copy, with what is no longer part of any message. A
// block that the server has compressed, because an operator wants it, is not unpacked: what it
// holds is found only by searchMessages. It closes the copy.
func (r *rewriting) searchFiles(ctx context.Context) error {
	r.closeStores()
	found, err := r.texts.inFiles(ctx, r.copy, func(string) bool { r.report.Files++; return true })
	if err != nil {
		return err
	}
	return left(found)
}

// left returns an error that names the first places where plain text is left.
func left(places []string) error {
	const shown = 10
	if len(places) == 0 {
		return nil
	}
	return fmt.Errorf("%w in %d places: %s", ErrPlainText, len(places), strings.Join(places[:min(len(places), shown)], ", "))
}
