package identity

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/decider"
	"lonja/kit/errs"
)

// town is a log of accounts and addresses in which every command may be interrupted after each
// of its events, and every reaction may come late, in any order and again.
type town struct {
	t        *rapid.T
	log      []events.Event
	done     map[int]bool // the events whose reaction is recorded
	pending  []func()     // decisions of commands whose lookups are done
	accounts []events.UserID
}

// spelling are the ids of an address, in the order of issuer.addressIDs.
type spelling []events.UserID

func of[S any](w *town, entityType decider.EntityType[S], id events.UserID) S {
	var own []events.Event
	for _, e := range w.log {
		if e.EntityID() == string(id) {
			own = append(own, e)
		}
	}
	return given(entityType, own...)
}

// record appends what a decision led to, and reports whether that is an event. An error must be
// one that is meant for the sender.
func (w *town) record(e events.Event, err error) bool {
	if err != nil && !errs.Is(err, errs.Conflict) && !errs.Is(err, errs.Unavailable) && !errs.Is(err, errs.NotFound) {
		w.t.Fatal(err)
	}
	if e == nil {
		return false
	}
	if err := e.Check(); err != nil {
		w.t.Fatal(err)
	}
	w.log = append(w.log, e)
	return true
}

// target does what addressTarget does for an address, and findPlace for somebody who wants it.
func (w *town) target(ids spelling) events.UserID {
	at := ids[0]
	for _, id := range ids {
		if owner := of(w, addressType, id).owner; owner != "" && !of(w, userType, owner).erased {
			at = id
			break
		}
	}
	a := of(w, addressType, at)
	if a.owner != "" && of(w, userType, a.owner).erased {
		w.record(a.release(at, a.owner))
	}
	return at
}

func (w *town) lookUpRegistration(ids spelling) {
	at := w.target(ids)
	w.pending = append(w.pending, func() {
		id := events.UserID(fmt.Sprintf("usr_%d", len(w.log)))
		new := account{id: id, addressID: ids[0], name: "Ana", email: string(ids[0]), passwordHash: "hash"}
		if w.record(claim(of(w, addressType, at), command.RegisterUser{}, new, decider.Meta{EntityID: string(at)})) {
			w.accounts = append(w.accounts, id)
			w.mayGoOn()
		}
	})
}

func (w *town) register(ids spelling) {
	w.lookUpRegistration(ids)
	w.decide(len(w.pending) - 1)
}

// decide decides one of the commands whose lookups are done.
func (w *town) decide(n int) {
	decision := w.pending[n]
	w.pending = slices.Delete(w.pending, n, n+1)
	decision()
}

// registerOld is a registration by a replica of an earlier version. It decides nothing on an
// entity that has events which it does not know.
func (w *town) registerOld(ids spelling) {
	for _, e := range w.log {
		if slices.Contains(ids, events.UserID(e.EntityID())) {
			return
		}
	}
	w.record(events.UserRegistered{UserID: ids[0], Name: "Ana", Email: string(ids[0]), PasswordHash: "hash", Roles: []string{events.Customer}}, nil)
	w.accounts = append(w.accounts, ids[0])
}

func (w *town) lookUpChange(id events.UserID, to spelling) {
	u := of(w, userType, id)
	if !u.exists() {
		return
	}
	at := w.target(to)
	w.pending = append(w.pending, func() {
		c := command.ChangeEmail{UserID: id, Email: string(to[0])}
		by := emailChange{authorized: authorized{user: u}, id: id, addressID: to[0]}
		if w.record(claimAnother(of(w, addressType, at), c, by, decider.Meta{EntityID: string(at)})) {
			w.mayGoOn()
		}
	})
}

func (w *town) erase(id events.UserID) {
	w.record(erase(of(w, userType, id), command.EraseUser{}, erasure{}, decider.Meta{}))
}

// mayGoOn is the second step of a command, unless that is interrupted.
func (w *town) mayGoOn() {
	if rapid.Bool().Draw(w.t, "goes on") {
		w.react(len(w.log) - 1)
	}
}

// react is the delivery of an event to its reaction.
func (w *town) react(n int) {
	if w.done[n] {
		return // its command is recorded
	}
	var got events.Event
	var err error
	switch e := w.log[n].(type) {
	case events.UserEmailClaimed:
		got, err = getAddress(of(w, userType, e.UserID), e, decider.Meta{})
	case events.UserEmailChanged:
		got, err = releasePrevious(of(w, addressType, e.Previous), e, decider.Meta{})
	case events.UserErased:
		got, err = releaseErased(of(w, addressType, e.EmailID), e, decider.Meta{})
	}
	if err != nil {
		w.t.Fatalf("a reaction fails: %v", err)
	}
	if w.record(got, nil) {
		w.done[n] = true
	}
}

// check fails unless every account's address is its own, in all its spellings.
func (w *town) check(addresses []spelling) {
	has := map[events.UserID]events.UserID{} // accounts by address
	for _, id := range w.accounts {
		u := of(w, userType, id)
		if !u.exists() {
			continue
		}
		if owner := of(w, addressType, u.emailID).owner; owner != id {
			w.t.Fatalf("%s has the address %s, which belongs to %q", id, u.emailID, owner)
		}
		which := slices.IndexFunc(addresses, func(ids spelling) bool { return slices.Contains(ids, u.emailID) })
		if other := has[addresses[which][0]]; other != "" {
			w.t.Fatalf("%s and %s have the address %v", other, id, addresses[which])
		}
		has[addresses[which][0]] = id
	}
}

// checkEnd fails unless, when all reactions have come, every address is an account's that has it,
// or can be registered.
func (w *town) checkEnd(addresses []spelling) {
	for n := 0; n < len(w.log); n++ { // reactions lead to events that have reactions
		w.react(n)
	}
	for _, ids := range addresses {
		taken := false
		for _, at := range ids {
			owner := of(w, addressType, at).owner
			u := of(w, userType, owner)
			if owner != "" && !u.erased && (!u.exists() || u.emailID != at) {
				w.t.Fatalf("%s belongs to %s, who has %q", at, owner, u.emailID)
			}
			taken = taken || u.exists()
		}
		if taken {
			continue
		}
		before := len(w.accounts)
		w.register(ids)
		if len(w.accounts) == before {
			w.t.Fatalf("%v belongs to nobody and cannot be registered", ids)
		}
	}
}

func TestAccounts_AnAddressHasOneWhateverIsInterrupted(t *testing.T) {
	all := []spelling{{"usr_a"}, {"usr_b"}, {"usr_c", "usr_c_before"}, {"usr_d", "usr_d_before", "usr_d_long_before"}}
	for n := range all { // the fewer there are, the more often commands compete for one
		t.Run(fmt.Sprint(all[n:]), func(t *testing.T) { checkTown(t, all[n:]) })
	}
}

func checkTown(t *testing.T, addresses []spelling) {
	rapid.Check(t, func(t *rapid.T) {
		w := &town{t: t, done: map[int]bool{}}
		address := func() spelling { return rapid.SampledFrom(addresses).Draw(t, "address") }
		withAccount := func(step func(events.UserID)) func() {
			return func() {
				if len(w.accounts) > 0 {
					step(rapid.SampledFrom(w.accounts).Draw(t, "account"))
				}
			}
		}
		for _, ids := range addresses { // when another of its ids was the first
			if len(ids) > 1 && rapid.Bool().Draw(t, "has an account of an earlier version") {
				w.registerOld(ids[len(ids)-1:])
			}
		}
		steps := map[string]func(){
			"register":               func() { w.register(address()) },
			"register, long ago":     func() { w.registerOld(address()) },
			"look a registration up": func() { w.lookUpRegistration(address()) },
			"look a change up":       withAccount(func(id events.UserID) { w.lookUpChange(id, address()) }),
			"erase":                  withAccount(w.erase),
			"decide": func() {
				if n := len(w.pending); n > 0 {
					w.decide(rapid.IntRange(0, n-1).Draw(t, "command"))
				}
			},
			"react": func() {
				if len(w.log) > 0 {
					w.react(rapid.IntRange(0, len(w.log)-1).Draw(t, "event"))
				}
			},
		}
		names := slices.Sorted(maps.Keys(steps))
		for range rapid.IntRange(20, 60).Draw(t, "steps") {
			steps[rapid.SampledFrom(names).Draw(t, "step")]()
			w.check(addresses)
		}
		w.checkEnd(addresses)
		w.check(addresses)
	})
}
