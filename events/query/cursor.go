package query

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"lonja/events"
)

// Section is the part of a list that a Page selects. K is what the list is sorted by: it must
// be different for each row, must not change while the row stays in its place, and must be the
// same after it was encoded as JSON and decoded.
type Section[K any] struct {
	Limit  int // at most so many rows
	Offset int // from here on, counted from Begins, or else from the list's first row
	Begins *K  // the key of the row just before; nil if the section was selected by its number

	page int
	list fingerprint
}

// SectionOf returns the section that a page of a list selects. The list is identified by its
// name and by everything else that decides which rows it has and how they are sorted. The error
// is a *events.FieldError: the page is too far away, or its cursor is not one of this list.
func SectionOf[K any](p Page, list ...string) (Section[K], error) {
	p, err := p.normal()
	if err != nil {
		return Section[K]{}, err
	}
	s := Section[K]{Limit: p.Limit, page: p.Page, list: fingerprintOf(list)}
	if p.After == "" {
		s.Offset = (p.Page - 1) * p.Limit
		return s, nil
	}
	s.Begins = new(K)
	if !s.decode(p.After) {
		err = events.InvalidField("after", "is not a cursor of this list: send meta.next of the page before as it is, with the same filters")
	}
	return s, err
}

// Next returns the cursor of the section that follows the row with the key last, or "" if there
// is no more.
func (s Section[K]) Next(last K, more bool) string {
	if !more {
		return ""
	}
	return s.encode(last)
}

// A cursor is opaque to clients: a version, which list it belongs to, and the key of a row. It
// is not signed, since its holder may as well ask for any other part of the list. Of one that
// somebody made up, the key is still just an argument of a query.
const (
	cursorVersion = 1
	maxCursor     = 1024 // characters
)

// fingerprint identifies a list, so that a cursor is not taken for one of another list or of
// other filters.
type fingerprint [6]byte

func fingerprintOf(list []string) (f fingerprint) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", list))
	copy(f[:], sum[:])
	return f
}

func (s Section[K]) encode(key K) string {
	var b bytes.Buffer
	b.WriteByte(cursorVersion)
	b.Write(s.list[:])
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(key); err != nil {
		panic(fmt.Sprintf("query: a list is sorted by what is not JSON: %v", err))
	}
	return base64.RawURLEncoding.EncodeToString(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// decode sets Begins to the key in a cursor. It accepts only what encode returns.
func (s Section[K]) decode(cursor string) bool {
	if len(cursor) > maxCursor {
		return false
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(raw) < 1+len(s.list) || raw[0] != cursorVersion || !bytes.Equal(raw[1:1+len(s.list)], s.list[:]) {
		return false
	}
	return json.Unmarshal(raw[1+len(s.list):], s.Begins) == nil && s.encode(*s.Begins) == cursor
}
