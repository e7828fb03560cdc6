package audit

import (
	"fmt"
	"strings"

	"lonja/events"
	"lonja/kit/eventlog"
)

// model is what the audit derives from the log. It is built from events alone.
type model struct {
	*audit
	eventIDs   map[compactID]position // by the event's own id
	commandIDs map[compactID]position // by the id of the command that caused the event
	lastSteps  map[string]step        // the last step of each product, user, session and issuer, by "product.71053"
	orders     map[events.OrderID]*order
	ledger     ledger
}

// compactID is an id in 16 bytes.
type compactID [16]byte

func compact(s string) (k compactID) {
	copy(k[:], eventlog.CompactID(s))
	return k
}

// position is where an event is recorded.
type position struct {
	stream string
	seq    uint64
}

func (p position) String() string { return fmt.Sprintf("%s:%d", p.stream, p.seq) }

func newModel(a *audit) *model {
	return &model{audit: a, eventIDs: map[compactID]position{}, commandIDs: map[compactID]position{}, lastSteps: map[string]step{},
		orders: map[events.OrderID]*order{}, ledger: ledger{}}
}

// apply adds an event to the model and checks it against what the model holds.
func (m *model) apply(r eventlog.Record) {
	m.checkUnique(r)
	switch event := r.Event.(type) {
	case events.OfOrder:
		m.order(event.Order()).apply(m, r, event)
	case events.StockCounted, events.StockAdjusted:
	default:
		m.checkEntity(r)
	}
	m.ledger.apply(m, r)
}

// checkUnique checks that neither the event's id nor its command's id was seen
// before. A command that recorded two events had two effects, even if the events
// are about two entities.
func (m *model) checkUnique(r eventlog.Record) {
	here := position{r.Stream, r.Sequence}
	if before, twice := m.eventIDs[compact(r.ID)]; twice {
		m.violateAt(r, Once, "has the id %s, which %s has too", r.ID, before)
	} else {
		m.eventIDs[compact(r.ID)] = here
	}
	if before, twice := m.commandIDs[compact(r.Causation)]; twice {
		m.violateAt(r, Once, "was caused by command %s, which already had an effect at %s; a command has at most one", r.Causation, before)
	} else {
		m.commandIDs[compact(r.Causation)] = here
	}
}

// checkEntity checks the next event of a product, user, session or issuer, whose
// history depends on no other stream.
func (m *model) checkEntity(r eventlog.Record) {
	key := strings.Join(strings.Split(r.Subject, ".")[1:3], ".")
	before, s := m.lastSteps[key], stepOf(r.Event)
	if !allowed(before, s) {
		m.violateAt(r, Transitions, "%s after %s; expected after %s", s, before, oneOf(predecessors[s]))
	}
	m.lastSteps[key] = s
	if e, ok := r.Event.(events.SessionStarted); ok && m.lastSteps["user."+string(e.UserID)] == nothing {
		m.violateAt(r, Transitions, "belongs to user %s, who was not registered before", e.UserID)
	}
}

// violateAt reports a violation at an event.
func (m *model) violateAt(r eventlog.Record, check, format string, args ...any) {
	m.violate(Violation{Check: check, Stream: r.Stream, Sequence: r.Sequence, Entity: entityOf(r), Problem: fmt.Sprintf(format, args...)})
}

// entityOf returns how a violation names the subject of an event, such as "order
// ord_1". A stock event that is about an order is named after the order, because
// its entity is the whole stock of a location.
func entityOf(r eventlog.Record) string {
	parts := strings.SplitN(r.Subject, ".", 4)
	if event, ok := r.Event.(events.OfOrder); ok && parts[1] == "stock" {
		return "order " + string(event.Order())
	}
	return parts[1] + " " + parts[2]
}

func (m *model) order(of events.OrderID) *order {
	s, known := m.orders[of]
	if !known {
		s = &order{}
		m.orders[of] = s
	}
	return s
}
