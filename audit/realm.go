package audit

import (
	"lonja/events"
	"lonja/kit/eventlog"
)

// realm is the history of the shop's issuer: its secret, and the keys of access tokens.
type realm struct {
	Last step            `json:"last"`
	Keys map[string]bool `json:"keys"` // by id
}

func (l *realm) apply(m *model, r eventlog.Record) {
	l.Last = m.checkStep(r, l.Last, stepOf(r.Event))
	if e, ok := r.Event.(events.RealmKeyAdded); ok {
		l.checkKey(m, r, e)
	}
}

// checkKey checks that a key is added once and does not sign before others can know of it.
// Only the first one signs at once.
func (l *realm) checkKey(m *model, r eventlog.Record, e events.RealmKeyAdded) {
	if l.Keys[e.KeyID] {
		m.violateAt(r, Transitions, "adds the key %s again", e.KeyID)
	}
	if len(l.Keys) > 0 && !e.ActiveAt.IsZero() && e.ActiveAt.Before(r.Time) {
		m.violateAt(r, Transitions, "adds a key that signs from %s, before it was recorded", e.ActiveAt.Format("2006-01-02T15:04:05Z07:00"))
	}
	l.Keys[e.KeyID] = true
}
