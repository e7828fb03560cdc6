package asyncapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/pb33f/jsonschema/v6"

	"lonja/events/query"
	"lonja/kit/asyncapi"
	"lonja/kit/bus"
	"lonja/kit/natsauth"
	"lonja/kit/service"
	"lonja/kit/streams"
	"lonja/test/harness"
)

// wiretap compares all messages on NATS with the document.
type wiretap struct {
	t        *testing.T
	doc      *asyncapi.Document
	compiled func(pointer string) *jsonschema.Schema
	seen     map[string]int      // messages by the key of their channel
	asked    map[string][]string // the messages that an inbox may get
}

func newWiretap(t *testing.T) *wiretap {
	doc := describe(t)
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("urn:lonja", parsed); err != nil {
		t.Fatal(err)
	}
	return &wiretap{t: t, doc: doc, seen: map[string]int{}, asked: map[string][]string{}, compiled: func(pointer string) *jsonschema.Schema {
		s, err := c.Compile("urn:lonja#" + pointer)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}}
}

// hear checks one message. The document does not describe messages of NATS itself, nor
// what JetStream delivers to an inbox.
func (w *wiretap) hear(subject, reply string, header nats.Header, data []byte) {
	w.t.Helper()
	if expected, is := w.asked[subject]; is {
		w.seen["answers"]++
		w.check(subject, "answers", expected, header, data)
		return
	}
	if strings.HasPrefix(subject, "$") || strings.HasPrefix(subject, natsauth.InboxPrefix("")) {
		return
	}
	key := w.channel(subject)
	if key == "" {
		w.t.Errorf("no channel has the subject %s", subject)
		return
	}
	w.seen[key]++
	c := w.doc.Channels[key]
	var names []string
	for name := range c.Messages {
		names = append(names, name)
	}
	w.check(subject, key, names, header, data)
	if c.XJetStream == nil && reply != "" {
		w.expect(key, reply)
	}
}

// expect notes which messages may answer a request.
func (w *wiretap) expect(request, inbox string) {
	for _, o := range w.doc.Operations {
		if w.doc.ChannelOf(o) == w.doc.Channels[request] && o.Reply != nil {
			for _, m := range o.Reply.Messages {
				w.asked[inbox] = append(w.asked[inbox], m.Ref[strings.LastIndexByte(m.Ref, '/')+1:])
			}
		}
	}
}

func (w *wiretap) channel(subject string) string {
	for key, c := range w.doc.Channels {
		if c.Kind() != asyncapi.Answers && streams.Matches(c.Subject(), subject) {
			return key
		}
	}
	return ""
}

// check fails the test unless a message is valid as one of those that are named.
func (w *wiretap) check(subject, channel string, names []string, header nats.Header, data []byte) {
	w.t.Helper()
	var failed []string
	for _, name := range names {
		err := w.is(name, header, data)
		if err == nil {
			return
		}
		failed = append(failed, name+": "+err.Error())
	}
	w.t.Errorf("on %s (%s): %v %s is none of its messages:\n%s", subject, channel, header, data, strings.Join(failed, "\n"))
}

// undescribed is a header of ours that the document does not know.
type undescribed string

func (u undescribed) Error() string { return "the header " + string(u) + " is not described" }

func (w *wiretap) is(name string, header nats.Header, data []byte) error {
	m := w.doc.Components.Messages[name]
	failed := header.Get(bus.HeaderErrorCode) != ""
	if failed != (name == "error") {
		return undescribed(bus.HeaderErrorCode)
	}
	if m.Headers != nil {
		object := map[string]any{}
		for key := range header {
			object[key] = header.Get(key)
			if (strings.HasPrefix(key, "ce-") || strings.HasPrefix(key, "lonja-")) && !w.describes(name, key) {
				return undescribed(key)
			}
		}
		if err := w.compiled("/components/messages/" + name + "/headers").Validate(object); err != nil {
			return err
		}
	}
	var v any = string(data)
	if m.ContentType == "application/json" {
		var err error
		if v, err = jsonschema.UnmarshalJSON(strings.NewReader(string(data))); err == io.EOF { // a request may be empty
			v = map[string]any{}
		} else if err != nil {
			return err
		}
	}
	return w.compiled("/components/messages/" + name + "/payload").Validate(v)
}

// describes reports whether one of a message's headers has a name.
func (w *wiretap) describes(message, header string) bool {
	h := w.doc.Components.Messages[message].Headers
	for _, s := range append(slices.Clone(h.AllOf), h) {
		if s.Ref != "" {
			s = w.doc.Components.Schemas[s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]]
		}
		if s.Properties[header] != nil {
			return true
		}
	}
	return false
}

// remind sets a reminder of a stream's last event on a filter, as earlier versions did, and waits
// until it was handled.
func remind(t *testing.T, nc *nats.Conn, from, filter, timer string) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	event, err := stream.GetLastMsgForSubject(t.Context(), filter)
	if err != nil {
		t.Fatal(err)
	}
	set, due := service.ReminderSubjects(timer, event.Header.Get("ce-id"))
	_, err = js.PublishMsg(t.Context(), &nats.Msg{Subject: set, Data: event.Data, Header: nats.Header{
		"ce-id": event.Header["ce-id"], "ce-type": event.Header["ce-type"], "ce-specversion": {"1.0"},
		service.HeaderOriginal: {event.Subject}, service.HeaderOriginalPosition: {fmt.Sprintf("%s:%d", from, event.Sequence)},
		"Nats-Schedule": {"@at " + time.Now().UTC().Format(time.RFC3339Nano)}, "Nats-Schedule-Target": {due}, "Nats-Schedule-TTL": {"72h"}}})
	if err != nil {
		t.Fatal(err)
	}
	harness.Within(t, time.Minute, func() error {
		cons, err := js.Consumer(t.Context(), "TIMERS", timer)
		if info := cons.CachedInfo(); err == nil && (info.AckFloor.Consumer == 0 || info.NumPending+uint64(info.NumAckPending) > 0) {
			err = errors.New("the reminder was not handled")
		}
		return err
	})
}

// TestAsyncAPI_DescribesEveryMessage listens to the whole life of a shop: every message
// on NATS is on a channel of the document, with the headers and the body that it has there.
func TestAsyncAPI_DescribesEveryMessage(t *testing.T) {
	p, s := harness.Up(t, "--data", t.TempDir(), "--reservation-ttl", "4s", "--payment-deadline", "3s")
	nc, err := nats.Connect(p.Said["nats"])
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	heard := make(chan *nats.Msg, 1<<16)
	sub, err := nc.ChanSubscribe(">", heard)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	sell(t, s)
	remind(t, nc, "INVENTORY", "events.stock.*.reserved", "inventory-expiry")
	remind(t, nc, "PAYMENTS", "events.payment.*.requested", "payments-deadline")
	if err := sub.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	w := newWiretap(t)
	for range len(heard) {
		m := <-heard
		w.hear(m.Subject, m.Reply, m.Header, m.Data)
	}
	for _, key := range []string{"answers", "changes.orders", "commands.orders.place", "commands.identity.register", "commands.payments.settle",
		"queries.orders.order", "queries.catalog.products", "queries.orders.timeline", "queries.identity.users", "health.orders", "events.order.placed", "events.order.shipped",
		"timers.set.inventory-expiry", "timers.due.payments-deadline", "revocations"} {
		if w.seen[key] == 0 {
			t.Errorf("nothing was heard on %s", key)
		}
	}
	w.readStreams(nc)
	header := nats.Header{}
	for _, name := range []string{"ce-id", "ce-source", "ce-causationid", "ce-correlationid"} {
		header.Set(name, "x")
	}
	header["ce-type"], header["ce-specversion"], header["ce-time"] = []string{"lonja.order.shipped.v1"}, []string{"1.0"}, []string{"2026-11-23T12:30:00Z"}
	is := func(body string) error { return w.is("lonja.order.shipped.v1", header, []byte(body)) }
	if err := is(`{"order_id":"ord_1"}`); err != nil {
		t.Error(err)
	}
	if is(`{"order_id":"a.b"}`) == nil || is(`{}`) == nil {
		t.Error("a body that is not valid is accepted")
	}
	header.Set("lonja-new", "1")
	if is(`{"order_id":"ord_1"}`) == nil {
		t.Error("a header that is not described is accepted")
	}
	header.Del("lonja-new")
	header["ce-type"] = []string{"lonja.order.paid.v1"}
	if is(`{"order_id":"ord_1"}`) == nil {
		t.Error("a header that is not valid is accepted")
	}
	p.Stop()
}

// sell does what harness.Story does, and what that leaves out.
func sell(t *testing.T, s *harness.Shop) {
	boss, ana := s.Boss(), s.As("ana")
	boss.Sells("71053", 339, 10)
	o := ana.Pays(ana.Places(harness.Pieces("71053", 2)))
	boss.Wants(200, "PATCH", "/api/orders/"+string(o.ID), map[string]string{"status": "shipped"}, nil)
	boss.Wants(200, "PATCH", "/api/orders/"+string(o.ID), map[string]string{"status": "delivered"}, nil)
	boss.Wants(200, "PATCH", "/api/products/71053", map[string]string{"category": "light"}, nil)
	boss.Wants(200, "POST", "/api/products/71053/stock/adjustments", map[string]any{"delta": -1, "reason": "broken"}, nil)
	ana.Wants(200, "GET", "/api/products?q=Product", nil, nil)
	ana.Wants(404, "GET", "/api/products/none", nil, nil)
	ana.Wants(200, "GET", "/api/orders", nil, nil)
	ana.Wants(200, "GET", "/api/orders/"+string(o.ID)+"/timeline", nil, nil)
	boss.Wants(200, "GET", "/api/users", nil, nil)
	boss.Wants(200, "GET", "/readyz", nil, nil)
	late := ana.Places(harness.Pieces("71053", 1))
	ana.Cancels(ana.TriesAgain(ana.Declines(ana.Places(harness.Pieces("71053", 1)))))
	ana.Places(harness.Pieces("71053", 1000))
	ana.Sees(late.ID, func(o query.OrderView) bool { return o.Status == query.Cancelled }) // nobody paid
	ana.Wants(204, "POST", "/api/auth/logout", map[string]string{"refresh_token": ana.Refresh}, nil)
	harness.Eventually(t, func() error {
		if a, err := ana.Do("GET", "/api/orders", nil); err != nil || a.Status != 401 {
			return fmt.Errorf("logged out, and answered %d (%v)", a.Status, err)
		}
		return nil
	})
	boss.Wants(204, "DELETE", "/api/products/71053", nil, nil)
}

// readStreams checks all that the streams hold.
func (w *wiretap) readStreams(nc *nats.Conn) {
	w.t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		w.t.Fatal(err)
	}
	read := 0
	for _, s := range harness.Streams(w.t).Streams {
		stream, err := js.Stream(w.t.Context(), s.Name)
		if err != nil {
			w.t.Fatal(err)
		}
		for seq := stream.CachedInfo().State.FirstSeq; seq <= stream.CachedInfo().State.LastSeq && seq > 0; seq++ {
			m, err := stream.GetMsg(w.t.Context(), seq)
			if err == jetstream.ErrMsgNotFound {
				continue
			}
			if err != nil {
				w.t.Fatal(err)
			}
			w.hear(m.Subject, "", m.Header, m.Data)
			read++
		}
	}
	if read < 30 {
		w.t.Errorf("only %d messages are kept", read)
	}
}

// TestAsyncAPI_IsPrintedAndServed compares what the command prints with
// docs/asyncapi.json, and with what lonja up and a gateway serve.
func TestAsyncAPI_IsPrintedAndServed(t *testing.T) {
	output := harness.Run(t, "asyncapi")
	if output != harness.ReadFile(t, "docs/asyncapi.json") {
		t.Error("lonja asyncapi does not print docs/asyncapi.json")
	}
	if help := harness.Run(t, "asyncapi", "--help"); help != harness.ReadFile(t, "test/asyncapi/testdata/help.txt") {
		t.Errorf("the help is not that of testdata/help.txt:\n%s", help)
	}
	var printed any
	if err := json.Unmarshal([]byte(output), &printed); err != nil {
		t.Fatal(err)
	}
	p, s := harness.Up(t, "--data", t.TempDir())
	alone := harness.Start(t, append(harness.GatewayOn(harness.FreeAddr(t)), "--nats", p.Said["nats"])...)
	for _, url := range []string{s.URL, alone.Said["shop"]} {
		nobody := &harness.Person{Shop: harness.At(t, url), Name: "nobody"}
		var served any
		a := nobody.Wants(200, "GET", "/asyncapi.json", nil, &served)
		if !reflect.DeepEqual(served, printed) {
			t.Errorf("%s serves another document", url)
		}
		if kind := a.Header.Get("Content-Type"); kind != "application/vnd.aai.asyncapi+json;version=3.0.0" {
			t.Error(kind)
		}
		page := nobody.Wants(200, "GET", "/docs/events", nil, nil)
		for _, says := range []string{"events.order.{orderId}.placed", "inventory (inventory-on-orders)", "commands.orders.place", "OrderPlaced is recorded when a customer placed an order", "items[].unit_price.amount", "ce-causationid", "which only identity may read"} {
			if !strings.Contains(string(page.Body), says) {
				t.Errorf("the page does not say %q", says)
			}
		}
		if regexp.MustCompile(`(src|href|action)="?[^"/#]|<script|url\(|@import`).Match(page.Body) {
			t.Error("the page needs something from elsewhere")
		}
		nobody.Wants(200, "GET", "/openapi.json", nil, new(struct{}))
		if a := nobody.Wants(200, "GET", "/openapi.json", nil, nil); !strings.Contains(string(a.Body), "(/docs/events)") {
			t.Error("nothing leads to the page")
		}
	}
	alone.Stop()
	p.Stop()
}
