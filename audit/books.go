package audit

import (
	"fmt"
	"strings"

	"lonja/events"
	"lonja/kit/eventlog"
)

// books are the audit's own notes of all that the log says.
type books struct {
	*audit
	facts    map[id]place    // by an event's own id
	commands map[id]place    // by the id of the command that made it
	lives    map[string]step // of products, users, sessions and realms: "product.71053"
	stories  map[events.OrderID]*story
	ledger   ledger
}

// id is an id in 16 bytes.
type id [16]byte

func idOf(s string) (k id) {
	copy(k[:], eventlog.CompactID(s))
	return k
}

// place is where an event stands, and how violations name it.
type place struct {
	stream string
	seq    uint64
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.stream, p.seq) }

func newBooks(a *audit) *books {
	return &books{audit: a, facts: map[id]place{}, commands: map[id]place{}, lives: map[string]step{},
		stories: map[events.OrderID]*story{}, ledger: ledger{}}
}

// enter enters an event.
func (b *books) enter(r eventlog.Record) {
	b.once(r)
	switch event := r.Event.(type) {
	case events.OfOrder:
		b.story(event.Order()).enter(b, r, event)
	case events.StockCounted, events.StockAdjusted:
	default:
		b.live(r)
	}
	b.ledger.enter(b, r)
}

// once checks that neither the event nor its command was there before. A command
// that recorded two events, be it of two entities, had two effects.
func (b *books) once(r eventlog.Record) {
	here := place{r.Stream, r.Sequence}
	if before, twice := b.facts[idOf(r.ID)]; twice {
		b.wrong(r, Once, "its id %s is that of %s, too", r.ID, before)
	} else {
		b.facts[idOf(r.ID)] = here
	}
	if before, twice := b.commands[idOf(r.Causation)]; twice {
		b.wrong(r, Once, "its command %s had its effect at %s; a command has one at most", r.Causation, before)
	} else {
		b.commands[idOf(r.Causation)] = here
	}
}

// live moves the life of an entity that is all its own.
func (b *books) live(r eventlog.Record) {
	key := strings.Join(strings.Split(r.Subject, ".")[1:3], ".")
	before, s := b.lives[key], stepOf(r.Event)
	if !legal(before, s) {
		b.wrong(r, Transitions, "%s after %s; it may only come after %s", s, before, oneOf(follows[s]))
	}
	b.lives[key] = s
	if e, ok := r.Event.(events.SessionStarted); ok && b.lives["user."+string(e.UserID)] == nothing {
		b.wrong(r, Transitions, "is of user %s, who was not registered before", e.UserID)
	}
}

// wrong is a violation at an event.
func (b *books) wrong(r eventlog.Record, check, format string, args ...any) {
	b.violate(Violation{Check: check, Stream: r.Stream, Sequence: r.Sequence, Entity: entityOf(r), Problem: fmt.Sprintf(format, args...)})
}

// entityOf is how a violation names what an event is about: "order ord_1", also
// of an event about its goods, whose entity is the whole stock.
func entityOf(r eventlog.Record) string {
	parts := strings.SplitN(r.Subject, ".", 4)
	if event, ok := r.Event.(events.OfOrder); ok && parts[1] == "stock" {
		return "order " + string(event.Order())
	}
	return parts[1] + " " + parts[2]
}

func (b *books) story(of events.OrderID) *story {
	s, known := b.stories[of]
	if !known {
		s = &story{}
		b.stories[of] = s
	}
	return s
}
