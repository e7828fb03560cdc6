package seed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/eventlog"
	"lonja/kit/keyring"
	"lonja/kit/streams"
)

// State is what a seeded shop consists of. It is kept in the shop's folder, so that seeding can
// go on later.
type State struct {
	Seed     uint64        `json:"seed"`
	Products int           `json:"products"` // at least 100
	Accounts int           `json:"accounts"` // besides those of People
	Target   int           `json:"target"`   // how many orders there is room for between Began and the folder's making
	Orders   int           `json:"orders"`   // how many are recorded
	Began    time.Time     `json:"began"`    // when the first order was placed
	Every    time.Duration `json:"every"`    // between two orders, in nanoseconds
	Stocked  bool          `json:"stocked"`  // products and accounts are recorded
	// Unfinished is set while the shop is seeded. A shop that was interrupted has more than the
	// state says, and cannot be seeded further.
	Unfinished bool `json:"unfinished"`
}

// NewState returns the state of a shop without anything, whose orders are to be spread over
// the year before now.
func NewState(seed uint64, products, accounts, target int, now time.Time) *State {
	const year = 365 * 24 * time.Hour
	return &State{Seed: seed, Products: products, Accounts: accounts, Target: target,
		Began: now.UTC().Add(-year - 7*24*time.Hour).Truncate(time.Second), Every: year / time.Duration(target)}
}

const stateFile = "seed.json"

// LoadState reads the state of a seeded shop from its folder. It is nil when there is none.
func LoadState(dir string) (*State, error) {
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var s State
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err == nil && s.Unfinished {
		err = fmt.Errorf("the seeding of %s was interrupted: remove the folder, and seed another one", dir)
	}
	return &s, err
}

// Save writes the state to the shop's folder.
func (s *State) Save(dir string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, stateFile), data, 0o600)
}

// People are accounts that the shop has already.
type People struct {
	Staff     events.UserID
	Customers []events.UserID // at least one; they have many of the orders
}

// Seeder records what a State says.
type Seeder struct {
	js     *ahead
	w      *writer
	state  *State
	people People
	secret []byte // of identity
}

// New returns a seeder of a shop that was started before and is stopped now: only its NATS
// server runs, which nc is connected to. Keks are those of its keys.
func New(ctx context.Context, nc *nats.Conn, keks *keyring.KEKs, state *State, people People) (*Seeder, error) {
	js, err := newAhead(ctx, nc)
	if err != nil {
		return nil, err
	}
	log := eventlog.New(js, Codec)
	log.Keys = keyring.New(js.JetStream, keks)
	s := &Seeder{js: js, w: &writer{log: log, last: map[string]uint64{}}, state: state, people: people}
	if s.secret, err = s.readSecret(ctx); err != nil {
		return nil, err
	}
	_, err = s.findLast(ctx, "stock", string(events.MainLocation))
	if err == nil {
		err = s.findNumbers(ctx)
	}
	return s, err
}

// findLast finds the last event of an entity that goes on from one seeding to the next; nil if it
// has none.
func (s *Seeder) findLast(ctx context.Context, kind, id string) (events.Event, error) {
	stream, err := s.js.Stream(ctx, streamOf[kind])
	if err != nil {
		return nil, err
	}
	entity := "events." + kind + "." + id
	m, err := stream.GetLastMsgForSubject(ctx, entity+".>")
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s.w.last[entity] = m.Sequence
	r := s.w.log.Decode(streamOf[kind], m.Sequence, m.Subject, m.Header, m.Data)
	return r.Event, r.Err
}

// findNumbers finds the last numbers in the books.
func (s *Seeder) findNumbers(ctx context.Context) error {
	receipt, err := s.findLast(ctx, "receipt", events.ReceiptBook)
	if err != nil {
		return err
	}
	note, err := s.findLast(ctx, "receipt", events.CreditBook)
	if e, is := receipt.(events.ReceiptIssued); is {
		s.w.numbers[issue] = e.Number
	}
	if e, is := note.(events.ReceiptCredited); is {
		s.w.numbers[credit] = e.Number
	}
	return err
}

// Appended returns how many events the streams hold.
func (s *Seeder) Appended() (n uint64) {
	for _, end := range s.js.ends {
		n += end
	}
	return n
}

// Stock records the products with their stock, and the accounts, once.
func (s *Seeder) Stock(ctx context.Context) error {
	if s.state.Stocked {
		return nil
	}
	for n := range s.state.Products {
		if err := s.recordProduct(ctx, n); err != nil {
			return err
		}
	}
	for n := range s.state.Accounts {
		if err := s.recordAccount(ctx, n); err != nil {
			return err
		}
	}
	if err := s.js.flush(ctx); err != nil {
		return err
	}
	s.state.Stocked = true
	return nil
}

func (s *Seeder) recordProduct(ctx context.Context, n int) error {
	p, staff := product(n), string(s.people.Staff)
	at := s.state.Began.Add(-time.Duration(s.state.Products-n) * time.Second)
	create := from(staff, eventlog.DeriveID("http", staff, "POST /api/products", SKU(n)), command.CreateProduct{Product: p}, at)
	if _, err := s.w.record(ctx, create, events.ProductCreated{Product: p}); err != nil {
		return err
	}
	s.w.forget("product", SKU(n))
	if onHand(n) == 0 {
		return nil // counting nothing changes nothing
	}
	count := from(staff, eventlog.DeriveID("seed", "count", SKU(n)), command.CountStock{SKU: p.SKU, OnHand: onHand(n)}, at.Add(time.Second))
	_, err := s.w.record(ctx, count, events.StockCounted{Location: events.MainLocation, Level: events.Level{SKU: p.SKU, OnHand: onHand(n)}})
	return err
}

// atOnce is how many orders are under way at the same time.
const atOnce = 200

// Orders records orders until there are so many, and then marks everything as handled by the
// reactions. Progress is called now and then with the number of orders; it may be nil.
func (s *Seeder) Orders(ctx context.Context, until int, progress func(orders int)) error {
	if until > s.state.Target {
		return fmt.Errorf("the shop was seeded for %d orders at most, not %d; seed another one", s.state.Target, until)
	}
	for s.state.Orders < until {
		next := min(until, s.state.Orders+atOnce)
		if err := s.recordOrders(ctx, s.state.Orders, next); err != nil {
			return err
		}
		if s.state.Orders = next; progress != nil && next%(10*atOnce) == 0 {
			progress(next)
		}
	}
	return s.js.flush(ctx)
}

// recordOrders records some orders, each a step further in turn.
func (s *Seeder) recordOrders(ctx context.Context, from, to int) error {
	var lives []*life
	for n := from; n < to; n++ {
		lives = append(lives, newLife(s.orderOf(n)))
	}
	for i, left := 0, len(lives); left > 0; i++ {
		left = 0
		for _, l := range lives {
			if i >= len(l.fate) {
				continue
			}
			if err := l.take(ctx, s.w, l.fate[i]); err != nil {
				return err
			}
			left++
		}
	}
	for _, l := range lives {
		s.w.forget("order", string(l.placed.OrderID))
		s.w.forget("payment", string(l.payment))
	}
	return nil
}

// Acknowledge marks every event as handled by every reaction, as their consumers would be.
func (s *Seeder) Acknowledge(ctx context.Context, declared *streams.Config) error {
	for _, d := range declared.Streams {
		last, ours := s.js.ends[d.Name]
		if !ours {
			continue
		}
		for _, c := range d.Consumers {
			if _, err := s.js.ResetConsumerToSequence(ctx, d.Name, c.Durable, last+1); err != nil {
				return fmt.Errorf("consumer %s: %w", c.Durable, err)
			}
		}
	}
	return nil
}
