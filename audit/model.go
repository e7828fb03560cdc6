package audit

import (
	"errors"
	"fmt"
	"strings"

	"lonja/events"
	"lonja/kit/eventlog"
	"lonja/kit/streams"
)

// model is what the audit derives from the log. It is built from events alone. Each stream has
// its part of the model, so that streams can be read at the same time; what is about orders
// and ids, which all streams share, is spilled.
type model struct {
	*audit
	products map[events.SKU]step               // the last step of each product; complete before orders are read
	sessions map[compactID]step                // the last step of each session
	logins   map[events.SessionID]events.Login // each session of the stream of sessions, by its last event
	accounts accounts
	realm    realm
	sealed   map[string]uint64 // the first sequence of IDENTITY at which something is sealed, by the owner of the key
	ledger   ledger
	books    books
	homes    homes
	facts    *spill // about orders
	mentions *spill // of ids
}

// About how many bytes an event takes in the spills.
const (
	factBytes    = 70
	mentionBytes = 1 + mentionSize
)

func newModel(a *audit, count uint64) *model {
	return &model{audit: a, products: map[events.SKU]step{}, sessions: map[compactID]step{}, logins: map[events.SessionID]events.Login{},
		accounts: newAccounts(), realm: realm{Keys: map[string]bool{}}, sealed: map[string]uint64{}, ledger: ledger{}, books: books{}, homes: homes{of: map[string]string{}},
		facts: newSpill(count * factBytes), mentions: newSpill(count * mentionBytes)}
}

func (m *model) close() error { return errors.Join(m.facts.close(), m.mentions.close()) }

// apply adds an event of a stream, whose number is given, to the model, and checks it against
// what the model holds of that stream.
func (m *model) apply(stream uint8, r eventlog.Record) error {
	if err := m.addMentions(stream, r); err != nil {
		return err
	}
	m.addOwner(r)
	m.checkHome(r)
	switch event := r.Event.(type) {
	case events.PaymentFlagged:
		if event.OrderID == "" {
			break // a report about no payment of the shop
		}
		m.checkOrderEvent(r)
		if err := m.addFact(factOf(r, event)); err != nil {
			return err
		}
	case events.OfOrder:
		m.checkOrderEvent(r)
		if err := m.addFact(factOf(r, event)); err != nil {
			return err
		}
	case events.StockCounted, events.StockAdjusted:
	case events.RealmOpened, events.RealmKeyAdded, events.RealmAdminAppointed:
		m.realm.apply(m, r)
	case events.LoginStarted:
		m.checkLogin(r, event.Login)
	case events.LoginRefreshed:
		m.checkLogin(r, event.Login)
	case events.LoginEnded:
		m.checkLogin(r, event.Login)
	default:
		m.applyOther(r)
	}
	m.ledger.apply(m, r)
	m.books.apply(m, r)
	return nil
}

func (m *model) addFact(f fact) error { return m.facts.add(keyOf(f.order), f.encode(nil)) }

// applyOther adds an event of a user, a product or a session.
func (m *model) applyOther(r eventlog.Record) {
	switch entity := strings.SplitN(streams.BaseSubject(r.Subject), ".", 3)[1]; entity {
	case "user":
		m.accounts.apply(m, r)
	case "product":
		sku := events.SKU(r.Event.EntityID())
		m.products[sku] = m.checkStep(r, m.products[sku], stepOf(r.Event))
	default:
		m.applySession(r)
	}
}

// applySession checks the next event of a session, whose history depends on no other stream.
func (m *model) applySession(r eventlog.Record) {
	id := compact(r.Event.EntityID())
	m.sessions[id] = m.checkStep(r, m.sessions[id], stepOf(r.Event))
	switch e := r.Event.(type) {
	case events.SessionStarted:
		m.accounts.checkSession(m, r, e.UserID)
	case events.SessionRotated:
		m.accounts.checkSession(m, r, e.UserID)
	}
}

// addOwner notes whose key an event is sealed with.
func (m *model) addOwner(r eventlog.Record) {
	of, ok := r.Event.(interface{ KeyOwner() string })
	if !ok || events.SealedMembers(r.Type) == nil {
		return // it has no sealed members, or an older version has them in plain text
	}
	if _, known := m.sealed[of.KeyOwner()]; !known {
		m.sealed[of.KeyOwner()] = r.Sequence
	}
}

// checkStep checks that an event's step may follow the one before, and returns it.
func (m *model) checkStep(r eventlog.Record, before, s step) step {
	if !allowed(before, s) {
		m.violateAt(r, Transitions, "%s after %s; expected after %s", s, before, oneOf(predecessors[s]))
	}
	return s
}

// violateAt reports a violation at an event.
func (m *model) violateAt(r eventlog.Record, check, format string, args ...any) {
	m.violate(Violation{Check: check, Stream: r.Stream, Sequence: r.Sequence, Entity: entityOf(r), Problem: fmt.Sprintf(format, args...)})
}

// entityOf returns how a violation names the subject of an event, such as "order
// ord_1". An event of the stock or of receipts that is about an order is named after the order,
// because its entity is the whole stock of a location, or a whole book.
func entityOf(r eventlog.Record) string {
	parts := strings.SplitN(streams.BaseSubject(r.Subject), ".", 4)
	if event, ok := r.Event.(events.OfOrder); ok && (parts[1] == "stock" || parts[1] == "receipt") {
		return "order " + string(event.Order())
	}
	return parts[1] + " " + parts[2]
}
