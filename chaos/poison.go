package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/events"
	"lonja/kit/bus"
	"lonja/kit/eventlog"
)

// poisoned is a message that somebody published by hand.
type poisoned struct {
	what   string
	header nats.Header
	data   []byte
}

// header is one as an event of a type has it.
func header(typ string) nats.Header {
	id := eventlog.NewID()
	return eventlog.Envelope{ID: id, Type: typ, Time: time.Now(), Causation: "poison-" + id}.Header()
}

func poisons(typ string) []poisoned {
	repeated := header(typ)
	repeated[eventlog.HeaderID] = []string{"one", "two"}
	repeated["_watermill_message_uuid"] = []string{"one", "two"}
	newer := strings.TrimSuffix(typ, "v1") + "v999"
	return []poisoned{
		{"not JSON", header(typ), []byte("\x00\xff{not json")},
		{"other JSON", header(typ), []byte(`[1,"two",{"three":null}]`)},
		{"no headers", nil, []byte(`{}`)},
		{"unknown type", header("lonja.unheard.of.v1"), []byte(`{}`)},
		{"unknown version", header(newer), []byte(`{}`)},
		{"repeated headers", repeated, []byte(`{}`)},
		{"a megabyte", header(typ), make([]byte, 1<<20-4096)},
		{"empty", header(typ), nil},
	}
}

// poison publishes what is no event on every subject of an event, and nonsense on
// every subject that anybody answers or reads.
func poison(ctx context.Context, t *trial) {
	published := 0
	for _, typ := range events.Types() {
		subject := strings.Replace(events.SubjectsOf(typ), "*", "poisoned", 1)
		for _, p := range poisons(typ) {
			if _, err := t.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Header: p.header, Data: p.data}); !t.must(err) {
				return
			}
			published++
		}
	}
	t.nonsense(ctx)
	t.crowd.begin(ctx, t.options.seed)
	pause(ctx, t.options.load/2)
	t.crowd.end()
	t.must(eventually(ctx, restWithin, t.ready))
	t.must(t.rest(ctx))
	t.countLetters(ctx, published)
	for _, p := range t.named("") {
		select {
		case <-p.exited:
			t.wrong("%s ended", p.name)
		default:
		}
	}
}

// nonsense goes where commands, queries, timers, retries and deferred commands do.
func (t *trial) nonsense(ctx context.Context) {
	var subjects []string
	for _, s := range []string{"orders.place", "orders.cancel", "catalog.create", "inventory.adjust", "payments.settle", "identity.register"} {
		subjects = append(subjects, "commands."+s, "deferred."+s+".poison", "queries."+s)
	}
	subjects = append(subjects, "queries.orders.order", "queries.catalog.products", "health.orders", "outcomes.poison",
		"timers.due.inventory-expiry.poison", "timers.due.payments-deadline.poison", "retries.orders.orders-on-stock.INVENTORY.1")
	for _, subject := range subjects {
		for _, p := range poisons("lonja.order.placed.v1") {
			_ = t.nc.PublishMsg(&nats.Msg{Subject: subject, Header: p.header, Data: p.data})
		}
	}
	t.must(t.nc.FlushTimeout(10 * time.Second))
	pause(ctx, time.Second)
}

// countLetters makes sure that each poisoned message of a stream of events is in
// the dead letters, once, however many read it.
func (t *trial) countLetters(ctx context.Context, published int) {
	letters, total, err := bus.NewDeadLetterQueue(t.js).List(ctx, 1, 1_000_000)
	if !t.must(err) {
		return
	}
	seen := map[string]int{}
	for _, l := range letters {
		if strings.HasPrefix(l.Subject, "events.") && l.Consumer == bus.Undecodable {
			seen[fmt.Sprintf("%s:%d", l.Stream, l.Sequence)]++
		}
	}
	for at, n := range seen {
		if n > 1 {
			t.wrong("the message at %s is in the dead letters %d times", at, n)
		}
	}
	if len(seen) < published {
		t.wrong("of %d poisoned messages only %d are in the dead letters", published, len(seen))
	}
	t.measured("%d poisoned facts, %d of them in the dead letters once, %d letters in all", published, len(seen), total)
}
