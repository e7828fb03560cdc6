package seed

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/audit"
	"lonja/events"
	"lonja/events/command"
	"lonja/kit/eventlog"
	"lonja/kit/keyring"
	"lonja/services/catalog"
	"lonja/services/identity"
	"lonja/services/inventory"
	"lonja/services/orders"
	"lonja/services/payments"
	"lonja/services/receipts"
	"lonja/shop/shoptest"
)

var (
	staff    = eventlog.Actor{ID: "usr_staff", Roles: []string{events.Staff}}
	customer = eventlog.Actor{ID: "usr_customer", Roles: []string{events.Customer}}
)

// story is an order in a real shop.
type story struct {
	*shoptest.Shop
	t     *testing.T
	order order
	id    events.OrderID
}

// after waits until an event of that name about the order is recorded.
func (s *story) after(event events.Event) *story {
	s.t.Helper()
	entity, rest, _ := strings.Cut(event.EventName(), ".")
	name, _, _ := strings.Cut(rest, ".")
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	cons, err := s.JS.OrderedConsumer(ctx, streamOf[entity], jetstream.OrderedConsumerConfig{FilterSubjects: []string{"events." + entity + ".*." + name}})
	if err != nil {
		s.t.Fatal(err)
	}
	all, err := cons.Messages()
	if err != nil {
		s.t.Fatal(err)
	}
	defer all.Stop()
	for {
		m, err := all.Next(jetstream.NextContext(ctx))
		if err != nil {
			s.t.Fatalf("no %s of %s: %v", event.EventName(), s.id, err)
		}
		if bytes.Contains(m.Data(), []byte(s.id)) {
			return s
		}
	}
}

// send sends a command as an actor under an id that the order knows it by.
func (s *story) send(as eventlog.Actor, st step, c interface {
	CommandName() string
	EntityID() string
	Check() error
}) *story {
	s.t.Helper()
	if _, err := s.Send(s.t.Context(), c, eventlog.Envelope{ID: s.order.commandID(st), Actor: as}); err != nil {
		s.t.Fatal(err)
	}
	return s
}

func (s *story) settle(st step, outcome string) *story {
	return s.send(eventlog.Actor{}, st, command.SettlePayment{PaymentID: events.PaymentFor(s.id), Outcome: outcome})
}

func (s *story) paid() *story {
	return s.after(events.PaymentRequested{}).settle(capture, command.Pay).after(events.StockCommitted{})
}

// A seeded order has the messages that a shop records, header by header and byte by byte.
func TestLife_IsWhatAShopRecords(t *testing.T) {
	ship := func(s *story) {
		s.paid()
		for { // until the view of orders has the commitment
			_, err := s.Send(t.Context(), command.ShipOrder{OrderID: s.id}, eventlog.Envelope{ID: s.order.commandID(ship), Actor: staff})
			if err == nil {
				break
			}
		}
		s.send(staff, deliver, command.DeliverOrder{OrderID: s.id}).after(events.OrderDelivered{})
	}
	for name, test := range map[string]struct {
		fate               fate
		reserved, mayBePay time.Duration
		live               func(*story)
	}{
		"delivered": {delivered, time.Hour, time.Hour, ship},
		"cancelled by customer": {fates[3].fate, time.Hour, time.Hour, func(s *story) {
			s.after(events.PaymentRequested{}).send(customer, cancelByCustomer, command.CancelOrder{OrderID: s.id})
		}},
		"cancelled by staff":  {fates[4].fate, time.Hour, time.Hour, func(s *story) { s.paid().send(staff, cancelByStaff, command.CancelOrder{OrderID: s.id}) }},
		"declined":            {fates[5].fate, time.Hour, 3 * time.Second, func(s *story) { s.after(events.PaymentRequested{}).settle(decline, command.Decline) }},
		"payment expired":     {fates[6].fate, time.Hour, time.Second, func(*story) {}},
		"reservation expired": {fates[7].fate, time.Second, time.Hour, func(*story) {}},
		"refused":             {fates[8].fate, time.Hour, time.Hour, func(*story) {}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &story{Shop: shoptest.Start(t, catalog.New(), orders.New(orders.Config{}), inventory.New(inventory.Config{ReservationTTL: test.reserved}),
				payments.New(payments.Config{Deadline: test.mayBePay, Providers: []payments.Provider{payments.Sandbox()}}), receipts.New(receipts.Config{})), t: t}
			s.place(order{fate: test.fate, reserved: test.reserved, mayBePaid: test.mayBePay})
			test.live(s)
			compareLife(t, s)
		})
	}
}

// place stocks the shop and places an order.
func (s *story) place(o order) {
	s.t.Helper()
	first, second := product(1), product(2)
	for _, p := range []events.Product{first, second} {
		s.Do(command.CreateProduct{Product: p}, staff, nil)
	}
	onHand := int64(100)
	if o.fate[1] == refuse {
		onHand, o.missing = 1, []events.Shortage{{SKU: first.SKU, Wanted: 3, Available: 1}}
	}
	for _, p := range []events.Product{first, second} {
		for { // until the view of inventory has the product
			if _, err := s.Send(s.t.Context(), command.CountStock{SKU: p.SKU, OnHand: onHand}, eventlog.Envelope{Actor: staff}); err == nil {
				break
			}
		}
	}
	o.customer, o.staff, o.command = events.UserID(customer.ID), events.UserID(staff.ID), eventlog.NewID()
	o.items = []events.OrderItem{item(first, 3), item(second, 1)}
	ids := map[step]string{}
	o.commandID = func(st step) string {
		if ids[st] == "" {
			ids[st] = eventlog.NewID()
		}
		return ids[st]
	}
	s.order, s.id = o, newLife(o).placed.OrderID
	c := newLife(o).placeOrder()
	for { // until the view of orders has the prices
		if _, err := s.Send(s.t.Context(), c, eventlog.Envelope{ID: o.command, Actor: customer}); err == nil {
			return
		}
	}
}

// compareLife writes an order as the shop's, at its times, and compares every message.
func compareLife(t *testing.T, s *story) {
	t.Helper()
	l := newLife(s.order)
	l.numbers[issue], l.numbers[credit] = 1, 1
	for _, st := range s.order.fate {
		_, e := l.step(st)
		s.after(e)
	}
	var all []*jetstream.RawStreamMsg
	for _, stream := range []string{"ORDERS", "INVENTORY", "PAYMENTS", "RECEIPTS"} {
		for _, m := range messagesOf(t, s.JS, stream) {
			if bytes.Contains(m.Data, []byte(s.id)) {
				all = append(all, m)
			}
		}
	}
	if len(all) != len(s.order.fate) {
		t.Fatalf("the shop recorded %d events; the fate has %d steps", len(all), len(s.order.fate))
	}
	sent := &recorder{}
	w := &writer{log: eventlog.New(sent, Codec), last: map[string]uint64{}}
	for _, st := range s.order.fate {
		_, e := l.step(st)
		i := slices.IndexFunc(all, func(m *jetstream.RawStreamMsg) bool { return m.Subject == events.Subject(e) })
		if i < 0 {
			t.Fatalf("the shop has no %s", events.Subject(e))
		}
		want := all[i]
		l.now, _ = time.Parse(time.RFC3339Nano, want.Header.Get(eventlog.HeaderTime))
		sent.sequence = want.Sequence
		if strings.HasPrefix(want.Subject, "events.stock.") { // other orders move it, too
			w.last["events.stock.main"], _ = strconv.ParseUint(want.Header.Get(eventlog.ExpectedSequence), 10, 64)
		}
		c, e := l.step(st)
		var err error
		if l.done[st], err = w.record(t.Context(), c, e); err != nil {
			t.Fatal(err)
		}
		if !maps.EqualFunc(sent.last.Header, want.Header, slices.Equal) || !bytes.Equal(sent.last.Data, want.Data) || sent.last.Subject != want.Subject {
			t.Errorf("%s %v %s; the shop recorded\n%s %v %s", sent.last.Subject, sent.last.Header, sent.last.Data, want.Subject, want.Header, want.Data)
		}
	}
}

// recorder is a JetStream that keeps the last message instead of sending it.
type recorder struct {
	jetstream.JetStream
	last     *nats.Msg
	sequence uint64 // of the next message
}

func (r *recorder) Conn() *nats.Conn { return &nats.Conn{} }

func (r *recorder) PublishMsg(_ context.Context, m *nats.Msg, _ ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	r.last = m
	return &jetstream.PubAck{Stream: streamOf[strings.SplitN(m.Subject, ".", 3)[1]], Sequence: r.sequence}, nil
}

func messagesOf(t *testing.T, js jetstream.JetStream, name string) (all []*jetstream.RawStreamMsg) {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		for _, added := range []string{jetstream.StreamHeader, jetstream.SequenceHeader, jetstream.SubjectHeader, jetstream.TimeStampHeaer} {
			m.Header.Del(added)
		}
		all = append(all, m)
	}
	return all
}

// A seeded account is what identity records for a registration.
func TestRegister_IsWhatIdentityRecords(t *testing.T) {
	s := shoptest.Start(t, identity.New(identity.Config{AdminPassword: "a long password for a test"}))
	id := eventlog.NewID()
	if _, err := s.Send(t.Context(), command.RegisterUser{Name: "Ana", Email: "Ana@Example.com", Password: "another long password"}, eventlog.Envelope{ID: id}); err != nil {
		t.Fatal(err)
	}
	seeder, err := New(t.Context(), s.Connect(), s.KEKs, NewState(1, 100, 1, 1000, time.Now()), People{Staff: "usr_staff", Customers: []events.UserID{"usr_a"}})
	if err != nil {
		t.Fatal(err)
	}
	all := messagesOf(t, s.JS, "IDENTITY")
	real := all[len(all)-2:]
	claimed := seeder.w.log.Decode("IDENTITY", 0, real[0].Subject, real[0].Header, real[0].Data).Event.(events.UserEmailClaimed)
	if want := addressOf(seeder.secret, claimed.Email); claimed.EmailID != want {
		t.Errorf("the address is %s; the seeder derives %s", claimed.EmailID, want)
	}
	sent := &recorderOfAll{}
	w := &writer{log: eventlog.New(sent, Codec), last: map[string]uint64{}}
	w.log.Keys = seeder.w.log.Keys
	at, _ := time.Parse(time.RFC3339Nano, real[0].Header.Get(eventlog.HeaderTime))
	if err := w.register(t.Context(), id, at, claimed); err != nil {
		t.Fatal(err)
	}
	for i, want := range real {
		is := sent.all[i]
		is.Header.Set(eventlog.HeaderTime, want.Header.Get(eventlog.HeaderTime)) // the reaction has a time of its own
		if !maps.EqualFunc(is.Header, want.Header, slices.Equal) || is.Subject != want.Subject {
			t.Errorf("%s %v; identity recorded\n%s %v", is.Subject, is.Header, want.Subject, want.Header)
		}
		a, b := w.log.Decode("IDENTITY", 0, is.Subject, is.Header, is.Data), w.log.Decode("IDENTITY", 0, want.Subject, want.Header, want.Data)
		encodedA, errA := Codec.Encode(a.Event)
		encodedB, errB := Codec.Encode(b.Event)
		if errA != nil || errB != nil || !bytes.Equal(encodedA, encodedB) {
			t.Errorf("%s (%v); identity recorded %s (%v)", encodedA, errA, encodedB, errB)
		}
	}
}

type recorderOfAll struct {
	recorder
	all []*nats.Msg
}

func (r *recorderOfAll) PublishMsg(ctx context.Context, m *nats.Msg, o ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	r.all = append(r.all, m)
	r.sequence = uint64(len(r.all))
	return r.recorder.PublishMsg(ctx, m, o...)
}

// seeded is a shop that was started, stopped and seeded, in two parts.
func seeded(t *testing.T, state *State) *shoptest.Shop {
	t.Helper()
	s := shoptest.Start(t)
	stop := s.Run(identity.New(identity.Config{AdminPassword: "a long password for a test"}), "a", t.TempDir())
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for _, until := range []int{600, 1000} {
		seeder, err := New(t.Context(), s.Connect(), s.KEKs, state, People{Staff: "usr_staff", Customers: []events.UserID{"usr_a", "usr_b"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := seeder.Stock(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := seeder.Orders(t.Context(), until, nil); err != nil {
			t.Fatal(err)
		}
		if err := seeder.Acknowledge(t.Context(), s.Streams); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestSeeder_AuditFindsNothingAndTheShopGoesOn(t *testing.T) {
	s := seeded(t, NewState(7, 200, 20, 1000, time.Now()))
	r, err := audit.Run(t.Context(), audit.Config{JetStream: s.JS, Codec: Codec, Streams: s.Streams, Keys: keyring.New(s.JS, s.KEKs), Settled: true})
	if err != nil || r.Total() > 0 {
		t.Fatalf("%v, %v", r.Violations, err)
	}
	total := 0
	for _, n := range r.Orders {
		total += n
	}
	if total != 1000 || r.Orders["delivered"] < 500 || r.Orders["cancelled"] < 100 || r.Orders["awaiting_payment"] < 1 || r.Users["active"] != 21 || r.UnderWay > 0 {
		t.Errorf("orders %v, users %v, %d under way", r.Orders, r.Users, r.UnderWay)
	}
	s.Run(catalog.New(), "a", t.TempDir())
	s.Run(orders.New(orders.Config{}), "a", t.TempDir())
	s.Run(inventory.New(inventory.Config{}), "a", t.TempDir())
	reply := s.Do(command.PlaceOrder{Items: []command.OrderLine{{SKU: events.SKU(InStock(3)), Quantity: 2}}}, customer, nil)
	shoptest.Await(s, func(e events.OrderAwaitingPayment) bool { return string(e.OrderID) == reply.EntityID })
}

func TestSeeder_TheSameSeedGivesTheSameEvents(t *testing.T) {
	now := time.Now()
	a, b := seeded(t, NewState(7, 200, 20, 1000, now)), seeded(t, NewState(7, 200, 20, 1000, now))
	for _, stream := range []string{"CATALOG", "INVENTORY", "ORDERS", "PAYMENTS", "RECEIPTS"} {
		is, want := messagesOf(t, a.JS, stream), messagesOf(t, b.JS, stream)
		if !slices.EqualFunc(is, want, func(a, b *jetstream.RawStreamMsg) bool {
			return a.Subject == b.Subject && bytes.Equal(a.Data, b.Data) && maps.EqualFunc(a.Header, b.Header, slices.Equal)
		}) || len(is) == 0 {
			t.Errorf("%s differs, with %d and %d events", stream, len(is), len(want))
		}
	}
}

func TestState_IsKeptUnlessSeedingWasInterrupted(t *testing.T) {
	dir := t.TempDir()
	if s, err := LoadState(dir); s != nil || err != nil {
		t.Errorf("a folder without a state: %v, %v", s, err)
	}
	want := NewState(7, 200, 20, 1000, time.Now())
	want.Orders, want.Stocked = 600, true
	if err := want.Save(dir); err != nil {
		t.Fatal(err)
	}
	if is, err := LoadState(dir); err != nil || *is != *want {
		t.Errorf("%+v, %v; want %+v", is, err, want)
	}
	want.Unfinished = true
	if err := want.Save(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadState(dir); err == nil || !strings.Contains(err.Error(), "was interrupted") {
		t.Errorf("an interrupted seeding: %v", err)
	}
}

func TestSeeder_RefusesWhatItCannotDo(t *testing.T) {
	state := NewState(7, 200, 1, 1000, time.Now())
	s := shoptest.Start(t)
	if _, err := New(t.Context(), s.Connect(), s.KEKs, state, People{}); err == nil || !strings.Contains(err.Error(), "not been started") {
		t.Errorf("a shop without an issuer: %v", err)
	}
	s = seeded(t, state)
	seeder, err := New(t.Context(), s.Connect(), s.KEKs, state, People{Staff: "usr_staff", Customers: []events.UserID{"usr_a"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := seeder.Orders(t.Context(), 1001, nil); err == nil || !strings.Contains(err.Error(), "1000 orders at most") {
		t.Errorf("more orders than the shop was made for: %v", err)
	}
	// Somebody else's event is noticed: the sequences are not those that were foreseen.
	s.Record("CATALOG", events.ProductCreated{Product: events.Product{SKU: "other", Name: "Other", Price: euros(1)}})
	if err := seeder.Orders(t.Context(), 1000, nil); err == nil || !strings.Contains(err.Error(), errNotAlone.Error()) {
		t.Errorf("not alone: %v", err)
	}
}
