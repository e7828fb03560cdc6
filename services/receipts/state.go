package receipts

import (
	"encoding/json"

	"lonja/events"
	"lonja/kit/decider"
	"lonja/kit/eventlog"
)

// book is the state of a series of numbers, on which the next one is decided. It is changed in
// place.
//
// It holds only its newest entries, so it does not grow with them. Older ones are in the rows of
// the receipts view; see found.
type book struct {
	keeps   int // how many entries it holds at most
	last    int64
	entries map[string]uint64 // the sequence of the entry about each key
	newest  []entry           // the entries that it holds, oldest first
	floor   uint64            // the sequence of the newest entry that it does not hold; 0 when it holds all
}

// entry says what a number is for: Key is the id of an order in the book of receipts, and that of the
// event payment.refunded in the book of credit notes.
type entry struct {
	Key      string
	Sequence uint64
}

// keptEntries is how many entries a book holds. The view may lag by as many before decisions have
// to wait for it.
const keptEntries = 4096

// bookTypeOf returns the entity type of books that hold so many entries.
func bookTypeOf(keeps int) decider.EntityType[*book] {
	return decider.EntityType[*book]{Subject: "events.receipt", Stream: "RECEIPTS",
		New:          func() *book { return newBook(keeps) },
		EvolveRecord: func(b *book, r eventlog.Record) *book { return evolve(b, r.Event, r.Sequence) },
		Snapshot: &decider.Snapshot[*book]{Version: 1, Encode: encodeBook,
			Decode: func(data []byte) (*book, error) { return decodeBook(data, keeps) }}}
}

func newBook(keeps int) *book { return &book{keeps: keeps, entries: map[string]uint64{}} }

// evolve is what snapshots rest on: see TestBook_GoldenFold before changing it.
func evolve(b *book, event events.Event, sequence uint64) *book {
	key, number := entryOf(event)
	if key == "" {
		return b
	}
	b.last = max(b.last, number) // an event that was published by hand may say anything
	b.add(entry{key, sequence})
	return b
}

// entryOf returns the key and the number of an event's entry.
func entryOf(event events.Event) (key string, number int64) {
	switch e := event.(type) {
	case events.ReceiptIssued:
		return string(e.OrderID), e.Number
	case events.ReceiptCredited:
		return e.Refund, e.Number
	}
	return "", 0
}

// add adds an entry, and forgets the oldest one if there are too many.
func (b *book) add(e entry) {
	b.entries[e.Key] = e.Sequence
	b.newest = append(b.newest, e)
	if len(b.newest) <= b.keeps {
		return
	}
	oldest := b.newest[0]
	b.newest = b.newest[1:]
	b.floor = oldest.Sequence
	if b.entries[oldest.Key] == oldest.Sequence {
		delete(b.entries, oldest.Key)
	}
}

// found is what was looked up about a key: whether the book has an entry about it, by the entries
// up to the sequence through. The zero value says that none was looked at.
type found struct {
	written bool
	through uint64
}

// has reports whether there is an entry about a key. The error is decider.NeedsLookup if neither
// the book nor what was found tells.
func (b *book) has(key string, f found) (bool, error) {
	if _, ok := b.entries[key]; ok || f.written {
		return true, nil
	}
	if f.through < b.floor {
		return false, &decider.NeedsLookup{Through: b.floor}
	}
	return false, nil
}

// bookImage is a book as a snapshot holds it.
type bookImage struct {
	Last   int64
	Newest []entry
	Floor  uint64
}

// encodeBook returns a function that writes the book as it is now. What newest holds never
// changes; it only gets more.
func encodeBook(b *book) func() ([]byte, error) {
	image := bookImage{b.last, b.newest, b.floor}
	return func() ([]byte, error) { return json.Marshal(image) }
}

// decodeBook reads what encodeBook wrote. Both books hold equally many entries.
func decodeBook(data []byte, keeps int) (*book, error) {
	var image bookImage
	if err := json.Unmarshal(data, &image); err != nil {
		return nil, err
	}
	b := newBook(keeps)
	b.last, b.newest, b.floor = image.Last, image.Newest, image.Floor
	for _, e := range b.newest {
		b.entries[e.Key] = e.Sequence
	}
	return b, nil
}
