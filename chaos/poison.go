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

// poisonMessage is a message that cannot be handled, as if published by hand.
type poisonMessage struct {
	what   string
	header nats.Header
	data   []byte
}

// header returns the headers of an event of a type.
func header(typ string) nats.Header {
	id := eventlog.NewID()
	return eventlog.Envelope{ID: id, Type: typ, Time: time.Now(), Causation: "poison-" + id}.Header()
}

func poisons(typ string) []poisonMessage {
	repeated := header(typ)
	repeated[eventlog.HeaderID] = []string{"one", "two"}
	repeated["_watermill_message_uuid"] = []string{"one", "two"}
	newer := strings.TrimSuffix(typ, "v1") + "v999"
	return []poisonMessage{
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

// poison publishes messages that are not events on every event subject, and
// nonsense on every other subject that a service reads.
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
	t.publishNonsense(ctx)
	t.load.start(ctx, t.options.seed)
	pause(ctx, t.options.duration/2)
	t.load.wait()
	t.must(eventually(ctx, restTimeout, t.ready))
	t.must(t.rest(ctx))
	t.checkDeadLetters(ctx, published)
	for _, p := range t.named("") {
		select {
		case <-p.exited:
			t.fail("%s ended", p.name)
		default:
		}
	}
}

// publishNonsense publishes on the subjects of commands, queries, timers, retries
// and deferred commands.
func (t *trial) publishNonsense(ctx context.Context) {
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

// checkDeadLetters checks that each poison message on a stream of events has one
// dead letter, however many consumers read it.
func (t *trial) checkDeadLetters(ctx context.Context, published int) {
	deadLetters, total, err := bus.NewDeadLetterQueue(t.js).List(ctx, 1, 1_000_000)
	if !t.must(err) {
		return
	}
	seen := map[string]int{}
	for _, l := range deadLetters {
		if strings.HasPrefix(l.Subject, "events.") && l.Consumer == bus.Undecodable {
			seen[fmt.Sprintf("%s:%d", l.Stream, l.Sequence)]++
		}
	}
	for at, n := range seen {
		if n > 1 {
			t.fail("the message at %s has %d dead letters", at, n)
		}
	}
	if len(seen) < published {
		t.fail("of %d poison messages only %d have a dead letter", published, len(seen))
	}
	t.record("%d poison messages, %d of them with one dead letter, %d dead letters in all", published, len(seen), total)
}
