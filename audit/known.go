package audit

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"time"

	"lonja/events"
)

// known is what an audit knew besides orders and ids, as JSON. All of it is in memory anyway.
type known struct {
	Products    map[events.SKU]step               `json:"products"`
	Sessions    map[compactID]step                `json:"sessions"`
	Logins      map[events.SessionID]events.Login `json:"logins"`
	Accounts    map[events.UserID]knownAccount    `json:"accounts"`
	Addresses   map[events.UserID]knownAddress    `json:"addresses"`
	Realm       realm                             `json:"realm"`
	Sealed      map[string]uint64                 `json:"sealed"`
	Levels      []knownLevel                      `json:"levels"`
	Books       books                             `json:"books"`
	LastErased  uint64                            `json:"last_erased"`
	Undecodable int                               `json:"undecodable"`
}

type knownAccount struct {
	Last     step          `json:"last"`
	Address  events.UserID `json:"address"`
	Moved    uint64        `json:"moved,omitempty"`
	Erased   uint64        `json:"erased,omitempty"`
	ErasedAt time.Time     `json:"erased_at,omitzero"`
}

type knownAddress struct {
	Owner events.UserID `json:"owner"`
	Roles []string      `json:"roles,omitempty"`
	Since uint64        `json:"since"`
}

type knownLevel struct {
	Location events.LocationID `json:"location"`
	SKU      events.SKU        `json:"sku"`
	OnHand   int64             `json:"on_hand"`
	Reserved int64             `json:"reserved"`
}

// knownOf returns what a model knows.
func knownOf(m *model) known {
	k := known{Products: m.products, Sessions: m.sessions, Logins: m.logins, Accounts: map[events.UserID]knownAccount{}, Addresses: map[events.UserID]knownAddress{},
		Realm: m.realm, Sealed: m.sealed, Books: m.books, LastErased: m.lastErased, Undecodable: m.report.Undecodable}
	for id, a := range m.accounts.accounts {
		k.Accounts[id] = knownAccount{a.last, a.address, a.moved, a.erased, a.erasedAt}
	}
	for id, a := range m.accounts.addresses {
		k.Addresses[id] = knownAddress{a.owner, a.roles, a.since}
	}
	for at, l := range m.ledger {
		k.Levels = append(k.Levels, knownLevel{at.location, at.sku, l.onHand, l.reserved})
	}
	return k
}

// restore gives a model what is known. The model must not change it, since another audit may
// begin with it, too.
func (k known) restore(m *model) {
	maps.Copy(m.products, k.Products)
	maps.Copy(m.sessions, k.Sessions)
	maps.Copy(m.logins, k.Logins)
	maps.Copy(m.sealed, k.Sealed)
	maps.Copy(m.books, k.Books)
	m.realm.Last = k.Realm.Last
	maps.Copy(m.realm.Keys, k.Realm.Keys)
	for id, a := range k.Accounts {
		m.accounts.accounts[id] = &account{a.Last, a.Address, a.Moved, a.Erased, a.ErasedAt}
	}
	for id, a := range k.Addresses {
		m.accounts.addresses[id] = &address{a.Owner, a.Roles, a.Since}
	}
	for _, l := range k.Levels {
		m.ledger[stockKey{l.Location, l.SKU}] = level{l.OnHand, l.Reserved}
	}
	m.lastErased, m.report.Undecodable = k.LastErased, k.Undecodable
}

// MarshalText implements encoding.TextMarshaler.
func (s step) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *step) UnmarshalText(text []byte) error {
	i := slices.Index(names[:], string(text))
	if i < 0 {
		return fmt.Errorf("there is no step %q", text)
	}
	*s = step(i)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (k compactID) MarshalText() ([]byte, error) {
	return []byte(base64.RawURLEncoding.EncodeToString(k[:])), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *compactID) UnmarshalText(text []byte) error {
	raw, err := base64.RawURLEncoding.DecodeString(string(text))
	if err == nil && len(raw) != len(k) {
		err = errCutOff
	}
	copy(k[:], raw)
	return err
}
