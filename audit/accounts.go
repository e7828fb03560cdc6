package audit

import (
	"slices"
	"time"

	"lonja/events"
	"lonja/kit/eventlog"
)

// accounts is what the log says about accounts and about the entities that keep their email
// addresses. Both have ids of users. An account of an earlier version is its own address: its
// id is derived from the address, and its registration is the claim.
//
// Everything is judged by ids, since the log is read without keys: names and addresses are
// withheld. The keys that the audit may have serve only the comparison of views.
type accounts struct {
	accounts  map[events.UserID]*account
	addresses map[events.UserID]*address
}

// account is the history of one account.
type account struct {
	last     step
	address  events.UserID // the entity of its address
	moved    uint64        // sequence of the event that gave it another address, 0 for none
	erased   uint64        // sequence of its erasure, 0 for none
	erasedAt time.Time
}

// address is who has an address now.
type address struct {
	owner events.UserID // "" for nobody
	roles []string      // those of the account that the claim is to create; nil when there is none, or it is there
	since uint64        // sequence of the claim
}

func newAccounts() accounts {
	return accounts{map[events.UserID]*account{}, map[events.UserID]*address{}}
}

// account returns an account, with the step nothing when it is not registered.
func (a accounts) account(id events.UserID) *account {
	found, known := a.accounts[id]
	if !known {
		found = &account{}
		a.accounts[id] = found
	}
	return found
}

// address returns an address, without an owner when nobody has it.
func (a accounts) address(id events.UserID) *address {
	found, known := a.addresses[id]
	if !known {
		found = &address{}
		a.addresses[id] = found
	}
	return found
}

// apply adds an event of an account or an address, and checks it against the events before.
func (a accounts) apply(m *model, r eventlog.Record) {
	switch e := r.Event.(type) {
	case events.UserEmailClaimed:
		a.claim(m, r, e)
		return
	case events.UserEmailReleased:
		a.release(m, r, e)
		return
	}
	of := a.account(events.UserID(r.Event.EntityID()))
	before := of.last
	of.last = m.checkStep(r, before, stepOf(r.Event))
	switch e := r.Event.(type) {
	case events.UserRegistered:
		if before == nothing {
			a.register(m, r, of, e)
		}
	case events.UserEmailChanged:
		a.move(m, r, of, e)
	case events.UserErased:
		a.erase(m, r, of, e)
	}
}

// claim checks that an address is nobody's when it is claimed. A claim creates an account, and
// then names its roles, or is made for an account that exists.
func (a accounts) claim(m *model, r eventlog.Record, e events.UserEmailClaimed) {
	at := a.address(e.EmailID)
	if at.owner != "" {
		m.violateAt(r, Accounts, "is claimed for %s, but belongs to %s", e.UserID, at.owner)
	}
	registered := a.account(e.UserID).last != nothing
	switch creates := len(e.Roles) > 0; {
	case creates && registered:
		m.violateAt(r, Accounts, "is claimed to create %s, which exists", e.UserID)
	case !creates && !registered:
		m.violateAt(r, Accounts, "is claimed for %s, who was not registered before", e.UserID)
	}
	*at = address{owner: e.UserID, roles: e.Roles, since: r.Sequence}
}

// release checks that an address is released by its owner, who has no use for it.
func (a accounts) release(m *model, r eventlog.Record, e events.UserEmailReleased) {
	at := a.address(e.EmailID)
	if at.owner != e.UserID {
		m.violateAt(r, Accounts, "is released by %s, but belongs to %s", e.UserID, orNobody(at.owner))
	}
	if of := a.account(e.UserID); of.uses(e.EmailID) {
		m.violateAt(r, Accounts, "is released, but is the address of %s", e.UserID)
	}
	*at = address{}
}

// register checks that an account is registered as the claim of its address says. An account
// of an earlier version claims its address by being registered.
func (a accounts) register(m *model, r eventlog.Record, of *account, e events.UserRegistered) {
	if of.address = e.EmailID; e.EmailID == "" {
		of.address = e.UserID
		at := a.address(e.UserID)
		if at.owner != "" {
			m.violateAt(r, Accounts, "is registered, but its address belongs to %s", at.owner)
		}
		*at = address{owner: e.UserID, since: r.Sequence}
		return
	}
	at := a.address(e.EmailID)
	switch {
	case at.owner != e.UserID:
		m.violateAt(r, Accounts, "is registered with address %s, which belongs to %s", e.EmailID, orNobody(at.owner))
	case !slices.Equal(at.roles, e.Roles):
		m.violateAt(r, Accounts, "is registered with other roles than its address was claimed with")
	}
	at.roles = nil
}

// move checks that an account gets an address that was claimed for it, in place of its own.
func (a accounts) move(m *model, r eventlog.Record, of *account, e events.UserEmailChanged) {
	if owner := a.address(e.EmailID).owner; owner != e.UserID {
		m.violateAt(r, Accounts, "gets address %s, which belongs to %s", e.EmailID, orNobody(owner))
	}
	if e.Previous != of.address {
		m.violateAt(r, Accounts, "names %s as its address before; expected %s", e.Previous, orNobody(of.address))
	}
	of.address, of.moved = e.EmailID, r.Sequence
}

// erase checks that an erasure names the account's address. An account that is its own address
// releases it by being erased; another address is released by a reaction.
func (a accounts) erase(m *model, r eventlog.Record, of *account, e events.UserErased) {
	if e.EmailID != of.address {
		m.violateAt(r, Accounts, "names %s as its address; expected %s", e.EmailID, orNobody(of.address))
	}
	if at := a.address(e.UserID); at.owner == e.UserID {
		*at = address{}
	}
	if of.erased == 0 {
		of.erased, of.erasedAt = r.Sequence, r.Time
	}
	m.lastErased = r.Sequence
}

// inFlight is how long after an erasure a login that began before may still be recorded. A
// session and its user are two entities, so nothing keeps the login from coming second; its
// tokens are worth nothing. No command takes that long.
const inFlight = time.Minute

// checkSession checks that a session belongs to somebody when it starts or gets a new token.
func (a accounts) checkSession(m *model, r eventlog.Record, user events.UserID) {
	of := a.account(user)
	_, formerly := r.Event.(events.SessionStarted)
	_, now := r.Event.(events.LoginStarted)
	if (formerly || now) && of.last == nothing {
		m.violateAt(r, Transitions, "belongs to user %s, who was not registered before", user)
	}
	if of.erased != 0 && r.Time.Sub(of.erasedAt) > inFlight {
		m.violateAt(r, Accounts, "belongs to user %s, who was erased %s before, at %s:%d", user,
			r.Time.Sub(of.erasedAt).Round(time.Second), identityStream, of.erased)
	}
}

// uses reports whether an entity is the address of an account that has not been erased.
func (of *account) uses(address events.UserID) bool {
	return of.last != nothing && of.erased == 0 && of.address == address
}

func orNobody(id events.UserID) events.UserID {
	if id == "" {
		return "nobody"
	}
	return id
}
