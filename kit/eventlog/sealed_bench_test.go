package eventlog

import (
	"crypto/cipher"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// delivered is as large as an event of two lines with an address, part of which is sealed.
type delivered struct {
	Sealed
	ID      string          `json:"id"`
	Owner   string          `json:"owner"`
	Lines   []deliveredLine `json:"lines"`
	Total   amount          `json:"total"`
	At      time.Time       `json:"at"`
	Name    string          `json:"name,omitempty" sealed:"true"`
	Address *address        `json:"address,omitempty" sealed:"true"`
}

type deliveredLine struct {
	Code     string `json:"code"`
	Title    string `json:"title"`
	Quantity int    `json:"quantity"`
	Price    amount `json:"price"`
	Sum      amount `json:"sum"`
}

type amount struct {
	Units    int64  `json:"units"`
	Currency string `json:"currency"`
}

type address struct {
	Lines    []string `json:"lines"`
	Postcode string   `json:"postcode"`
	City     string   `json:"city"`
	Country  string   `json:"country"`
	Phone    string   `json:"phone"`
}

func (delivered) EventName() string  { return "parcel.delivered.v1" }
func (d delivered) EntityID() string { return d.ID }
func (d delivered) KeyOwner() string { return d.Owner }
func (delivered) Check() error       { return nil }

func sample() delivered {
	gbp := amount{29500, "GBP"}
	line := deliveredLine{"85123A", "White hanging heart T-light holder", 6, gbp, gbp}
	return delivered{ID: "par_0198f3c2a1b47d0e8c6f5a4b3c2d1e0f", Owner: "usr_0198f3c2a1b47d0e8c6f5a4b3c2d1e0f", Lines: []deliveredLine{line, line}, Total: gbp,
		At: time.Date(2026, 11, 27, 12, 0, 0, 123456789, time.UTC), Name: "Ana María Fernández de la Torre",
		Address: &address{[]string{"12 Example Street", "Flat 3"}, "SW1A 1AA", "London", "GB", "+44 20 7946 0000"}}
}

// sealedAt is where a sample's sealed members belong.
func sealedAt(e delivered) place { return place{e.EventName(), subjectOf(e), e.Owner} }

// sealing returns a function that seals the members of a sample, and how large the sample is.
func sealing(tb testing.TB) (once func(), size int) {
	e, key, members, data := sealable(tb)
	return func() {
		if _, err := seal(key, sealedAt(e), members, data); err != nil {
			tb.Fatal(err)
		}
	}, len(data)
}

// opening returns a function that opens the members of a sealed sample.
func opening(tb testing.TB) (once func()) {
	e, key, members, data := sealable(tb)
	data, err := seal(key, sealedAt(e), members, data)
	if err != nil {
		tb.Fatal(err)
	}
	return func() {
		outer, part, err := splitSealed(data, members)
		var inner object
		if err == nil {
			inner, err = open(key, sealedAt(e), members, part.Data)
		}
		if opened := append(outer, inner...).text(); err != nil || !strings.Contains(string(opened), e.Name) {
			tb.Fatalf("opened %s, %v", opened, err)
		}
	}
}

func sealable(tb testing.TB) (e delivered, key cipher.AEAD, members []string, data []byte) {
	key, err := chacha20poly1305.NewX(make([]byte, chacha20poly1305.KeySize))
	e = sample()
	if err == nil {
		data, err = json.Marshal(e)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return e, key, sealedFields(reflect.TypeFor[delivered](), true), data
}

// The figures are what sealing adds to the encoding of an event, and to its decoding.
func BenchmarkSeal(b *testing.B) {
	once, size := sealing(b)
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
	b.ReportMetric(float64(size), "bytes/event")
}

func BenchmarkOpen(b *testing.B) {
	once := opening(b)
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
}

// How long sealing takes depends on the machine, so the test holds how often it allocates: 27
// and 38 times as this is written.
func TestSealing_AllocatesLittle(t *testing.T) {
	seals, _ := sealing(t)
	for what, c := range map[string]struct {
		once  func()
		limit float64
	}{"to seal": {seals, 30}, "to open": {opening(t), 42}} {
		if n := testing.AllocsPerRun(100, c.once); n > c.limit {
			t.Errorf("%s an event takes %v allocations, more than %v", what, n, c.limit)
		}
	}
}
