package audit

import (
	"strings"
	"testing"
	"time"

	"lonja/events"
	"lonja/kit/eventlog"
	"lonja/kit/keyring"
)

// Ana's and Bob's accounts. An address's entity is called after its owner here.

var customer = []string{events.Customer}

func claimed(address, user events.UserID, roles ...string) events.Event {
	e := events.UserEmailClaimed{EmailID: address, UserID: user, Email: "ana@example.com", Roles: roles}
	if len(roles) > 0 {
		e.Name, e.PasswordHash = "Ana", "SECRET"
	}
	return e
}

func registeredAt(user, address events.UserID, roles ...string) events.Event {
	return events.UserRegistered{UserID: user, EmailID: address, Name: "Ana", Email: "ana@example.com", PasswordHash: "SECRET", Roles: roles}
}

func emailChangedTo(address, from events.UserID) events.Event {
	return events.UserEmailChanged{UserID: "usr_ana", Email: "ana@example.com", EmailID: address, Previous: from}
}

// oldRegistered is an account of an earlier version.
const oldRegistered = `{"user_id":"usr_old","name":"Ana","email":"ana@example.com","password_hash":"SECRET","roles":["customer"]}`

var (
	anaClaimed     = claimed("usr_at_ana", "usr_ana", customer...)
	anaRegistered  = registeredAt("usr_ana", "usr_at_ana", customer...)
	anaErased      = events.UserErased{UserID: "usr_ana", EmailID: "usr_at_ana"}
	anaReleased    = events.UserEmailReleased{EmailID: "usr_at_ana", UserID: "usr_ana"}
	anaNamed       = events.UserProfileChanged{UserID: "usr_ana", Name: "Ana"}
	anaPromoted    = events.UserRolesChanged{UserID: "usr_ana", Roles: []string{events.Staff}}
	anaNewPassword = events.UserPasswordChanged{UserID: "usr_ana", PasswordHash: "SECRET"}
	anaSealed      = events.UserSealed{UserID: "usr_ana", Name: "Ana", Email: "ana@example.com", PasswordHash: "SECRET"}
	bobClaimed     = claimed("usr_at_bob", "usr_bob", customer...)
	bobRegistered  = registeredAt("usr_bob", "usr_at_bob", customer...)
	withAna        = list(anaClaimed, anaRegistered)
	// moved is Ana with another address.
	moved = extend(withAna, claimed("usr_at_new", "usr_ana"), emailChangedTo("usr_at_new", "usr_at_ana"), anaReleased)

	realmOpened = events.RealmOpened{Secret: make([]byte, 32)}
	keyAdded1   = events.RealmKeyAdded{KeyID: "k1", Seed: make([]byte, 32), PublicKey: make([]byte, 32)}
	keyAdded2   = events.RealmKeyAdded{KeyID: "k2", Seed: make([]byte, 32), PublicKey: make([]byte, 32), ActiveAt: inAnHour()}
)

// recordRaw records an event of an earlier version.
func (s *fixture) recordRaw(subject, typ, data string) {
	s.t.Helper()
	header := eventlog.Envelope{ID: eventlog.NewID(), Type: typ, Time: time.Now(), Causation: eventlog.NewID(), Actor: eventlog.Actor{ID: "usr_ana"}}.Header()
	s.publish(subject, data, header)
}

// recordAt records an event as if it had happened at another time.
func (s *fixture) recordAt(e events.Event, at time.Time) {
	s.t.Helper()
	data, err := events.Encode(e)
	if err != nil {
		s.t.Fatal(err)
	}
	header := eventlog.Envelope{ID: eventlog.NewID(), Type: events.Type(e), Time: at, Causation: eventlog.NewID(), Actor: eventlog.Actor{ID: "usr_ana"}}.Header()
	s.publish(events.Subject(e), string(data), header)
}

// destroy destroys the key of a person, as identity does after their erasure.
func (s *fixture) destroy(owner events.UserID) {
	s.t.Helper()
	if err := keyring.New(s.JS, s.KEKs).Destroy(s.t.Context(), string(owner)); err != nil {
		s.t.Fatal(err)
	}
}

func TestRun_AcceptsLegalAccounts(t *testing.T) {
	for name, given := range map[string][]events.Event{
		"everything about an account": extend(withAna, anaNamed, anaPromoted, anaNewPassword, anaNamed, bobClaimed, bobRegistered),
		"another address":             extend(moved, claimed("usr_at_ana", "usr_bob", customer...), registeredAt("usr_bob", "usr_at_ana", customer...)),
		"two changes of address at once": extend(withAna, claimed("usr_at_new", "usr_ana"), claimed("usr_at_newer", "usr_ana"),
			emailChangedTo("usr_at_new", "usr_at_ana"), emailChangedTo("usr_at_newer", "usr_at_new"), anaReleased,
			events.UserEmailReleased{EmailID: "usr_at_new", UserID: "usr_ana"}),
		"back to the first address": extend(moved, claimed("usr_at_ana", "usr_ana"), emailChangedTo("usr_at_ana", "usr_at_new"),
			events.UserEmailReleased{EmailID: "usr_at_new", UserID: "usr_ana"}),
		"a realm with keys": list(realmOpened, keyAdded1, events.RealmAdminAppointed{UserID: "usr_ana"}, anaClaimed, anaRegistered, keyAdded2),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			s.record(given...)
			s.acknowledge(s.everyReaction()...)
			want(t, s.audit(true, ""))
		})
	}
}

// An account of an earlier version has its own entity as its address, sealed or not.
func TestRun_AcceptsAccountsOfAnEarlierVersion(t *testing.T) {
	s := newFixture(t)
	s.recordRaw("events.user.usr_old.registered", "lonja.user.registered.v1", oldRegistered)
	s.record(events.UserRolesChanged{UserID: "usr_old", Roles: customer},
		events.UserSealed{UserID: "usr_old", Name: "Ana", Email: "ana@example.com", PasswordHash: "SECRET"},
		events.UserProfileChanged{UserID: "usr_old", Name: "Ana"},
		claimed("usr_at_new", "usr_old"), events.UserEmailChanged{UserID: "usr_old", Email: "ana@example.com", EmailID: "usr_at_new", Previous: "usr_old"},
		events.UserEmailReleased{EmailID: "usr_old", UserID: "usr_old"},
		claimed("usr_old", "usr_bob", customer...), registeredAt("usr_bob", "usr_old", customer...))
	s.acknowledge(s.everyReaction()...)
	r := s.audit(true, "")
	if want(t, r); r.Users["active"] != 2 {
		t.Errorf("users are %v, want 2 active", r.Users)
	}
}

func TestRun_ReportsIllegalAccounts(t *testing.T) {
	const inUse = "registered or sealed or profile_changed or email_changed or roles_changed or password_changed"
	for name, test := range map[string]struct {
		given []events.Event
		want  []string
	}{
		"roles of nobody": {list(anaPromoted),
			[]string{"transitions: IDENTITY:1 user usr_ana: roles_changed after nothing; expected after " + inUse}},
		"a password of nobody": {list(anaNewPassword),
			[]string{"transitions: IDENTITY:1 user usr_ana: password_changed after nothing; expected after " + inUse}},
		"a profile of nobody": {list(anaNamed),
			[]string{"transitions: IDENTITY:1 user usr_ana: profile_changed after nothing; expected after " + inUse}},
		"registered twice": {extend(withAna, anaRegistered),
			[]string{"transitions: IDENTITY:3 user usr_ana: registered after registered; expected after nothing"}},
		"sealed twice": {extend(withAna, anaSealed, anaSealed),
			[]string{"transitions: IDENTITY:4 user usr_ana: sealed after sealed; expected after registered or profile_changed or email_changed or roles_changed or password_changed"}},
		"something after the erasure": {extend(withAna, anaErased, anaNamed, anaReleased),
			[]string{"transitions: IDENTITY:4 user usr_ana: profile_changed after erased; expected after " + inUse}},
		"erased twice": {extend(withAna, anaErased, anaErased, anaReleased),
			[]string{"transitions: IDENTITY:4 user usr_ana: erased after erased; expected after " + inUse}},
		"erased with another's address": {extend(withAna, events.UserErased{UserID: "usr_ana", EmailID: "usr_at_bob"}, anaReleased),
			[]string{"accounts: IDENTITY:3 user usr_ana: names usr_at_bob as its address; expected usr_at_ana"}},

		"an address claimed twice": {extend(withAna, claimed("usr_at_ana", "usr_ana")),
			[]string{"accounts: IDENTITY:3 user usr_at_ana: is claimed for usr_ana, but belongs to usr_ana"}},
		"an address claimed for two": {extend(withAna, claimed("usr_at_ana", "usr_bob", customer...)),
			[]string{"accounts: IDENTITY:3 user usr_at_ana: is claimed for usr_bob, but belongs to usr_ana"}},
		"an account created twice": {extend(withAna, claimed("usr_at_new", "usr_ana", customer...)),
			[]string{"accounts: IDENTITY:3 user usr_at_new: is claimed to create usr_ana, which exists"}},
		"an address claimed for nobody": {list(claimed("usr_at_ana", "usr_ana")),
			[]string{"accounts: IDENTITY:1 user usr_at_ana: is claimed for usr_ana, who was not registered before"}},
		"registered without a claim": {list(anaRegistered),
			[]string{"accounts: IDENTITY:1 user usr_ana: is registered with address usr_at_ana, which belongs to nobody"}},
		"registered with another's address": {extend(withAna, registeredAt("usr_bob", "usr_at_ana", customer...)),
			[]string{"accounts: IDENTITY:3 user usr_bob: is registered with address usr_at_ana, which belongs to usr_ana"}},
		"registered with other roles": {list(anaClaimed, registeredAt("usr_ana", "usr_at_ana", events.Admin)),
			[]string{"accounts: IDENTITY:2 user usr_ana: is registered with other roles than its address was claimed with"}},
		"registered by an earlier version at an address that is taken": {list(anaClaimed, anaRegistered, registeredAt("usr_at_ana", "", customer...)),
			[]string{"accounts: IDENTITY:3 user usr_at_ana: is registered, but its address belongs to usr_ana"}},
		"an address that was not claimed": {extend(withAna, emailChangedTo("usr_at_new", "usr_at_ana"), anaReleased),
			[]string{"accounts: IDENTITY:3 user usr_ana: gets address usr_at_new, which belongs to nobody"}},
		"a change from an address that it did not have": {extend(withAna, claimed("usr_at_new", "usr_ana"), emailChangedTo("usr_at_new", "usr_at_bob"), anaReleased),
			[]string{"accounts: IDENTITY:4 user usr_ana: names usr_at_bob as its address before; expected usr_at_ana"}},
		"an address released by another": {extend(withAna, events.UserEmailReleased{EmailID: "usr_at_ana", UserID: "usr_bob"}),
			[]string{"accounts: IDENTITY:3 user usr_at_ana: is released by usr_bob, but belongs to usr_ana"}},
		"an address released twice": {extend(moved, anaReleased),
			[]string{"accounts: IDENTITY:6 user usr_at_ana: is released by usr_ana, but belongs to nobody"}},
		"an address released in use": {extend(withAna, anaReleased),
			[]string{"accounts: IDENTITY:3 user usr_at_ana: is released, but is the address of usr_ana"}},

		"a session of nobody": {list(events.SessionStarted{SessionID: "ses_1", UserID: "usr_ana", TokenHash: "SECRET"}),
			[]string{"transitions: IDENTITY:1 session ses_1: belongs to user usr_ana, who was not registered before"}},
		"a key before the realm": {list(keyAdded1),
			[]string{"transitions: IDENTITY:1 realm main: key_added after nothing; expected after opened or key_added or admin_appointed"}},
		"a realm opened twice": {list(realmOpened, keyAdded1, realmOpened),
			[]string{"transitions: IDENTITY:3 realm main: opened after key_added; expected after nothing"}},
		"a key added twice": {list(realmOpened, keyAdded1, keyAdded1),
			[]string{"transitions: IDENTITY:3 realm main: adds the key k1 again"}},
		"a key that signed before it was known": {list(realmOpened, keyAdded1, events.RealmKeyAdded{KeyID: "k2", Seed: make([]byte, 32), PublicKey: make([]byte, 32), ActiveAt: time.Unix(0, 0).UTC()}),
			[]string{"transitions: IDENTITY:3 realm main: adds a key that signs from 1970-01-01T00:00:00Z, before it was recorded"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			wantNothingPersonal(t, s.recordAndWant(test.given, test.want...))
		})
	}
}

func wantNothingPersonal(t *testing.T, r *Report) {
	t.Helper()
	for _, v := range r.Violations {
		if text := v.String(); strings.Contains(text, "example.com") || strings.Contains(text, "Ana") || strings.Contains(text, "SECRET") {
			t.Errorf("a violation shows personal data: %s", text)
		}
	}
}

// What is erased stays in the log, sealed with a key that is gone. Everything may go on with the
// address.
func TestRun_AcceptsAnErasure(t *testing.T) {
	s := newFixture(t)
	s.record(extend(withAna, anaNamed, anaNewPassword, anaErased, anaReleased,
		claimed("usr_at_new", "usr_ana"), // decided before, and of no use
		claimed("usr_at_ana", "usr_bob", customer...), registeredAt("usr_bob", "usr_at_ana", customer...))...)
	s.destroy("usr_ana")
	s.acknowledge(s.everyReaction()...)
	r := s.audit(true, "")
	if want(t, r); r.Users["active"] != 1 || r.Users["erased"] != 1 {
		t.Errorf("users are %v, want one active and one erased", r.Users)
	}
}

// An account that is its own address releases it by being erased.
func TestRun_AcceptsTheErasureOfAnEarlierAccount(t *testing.T) {
	s := newFixture(t)
	s.recordRaw("events.user.usr_old.registered", "lonja.user.registered.v1", oldRegistered)
	s.record(events.UserErased{UserID: "usr_old", EmailID: "usr_old"}, claimed("usr_old", "usr_ana", customer...), registeredAt("usr_ana", "usr_old", customer...))
	s.destroy("usr_old")
	s.acknowledge(s.everyReaction()...)
	want(t, s.audit(true, ""))
}

func TestRun_ReportsKeys(t *testing.T) {
	s := newFixture(t)
	s.record(extend(withAna, bobClaimed, bobRegistered, anaErased, anaReleased)...)
	r := s.audit(false, "")
	if want(t, r); r.UnderWay != 1 {
		t.Errorf("%d under way before the key is destroyed, want 1", r.UnderWay)
	}
	s.acknowledge("identity-on-identity", "identity-erasures")
	const erased = "accounts: IDENTITY:5 user usr_ana: was erased"
	want(t, s.audit(false, ""), erased+", and the reactions have run, but its key was not destroyed")
	for range 2 { // as a destruction that was interrupted leaves it
		s.publish(keyring.Subject("usr_ana"), `{"destroyed":true}`, nil)
	}
	want(t, s.audit(false, ""), erased+" and its key destroyed, but 2 messages with the key are left on KEYS")
	s.destroy("usr_ana")
	want(t, s.audit(false, ""))
	stream, err := s.JS.Stream(t.Context(), keyring.Stream)
	if err != nil {
		t.Fatal(err)
	}
	lost, err := stream.GetLastMsgForSubject(t.Context(), keyring.Subject("usr_bob"))
	if err == nil {
		err = stream.DeleteMsg(t.Context(), lost.Sequence)
	}
	if err != nil {
		t.Fatal(err)
	}
	want(t, s.audit(false, ""), "accounts: IDENTITY:3: is sealed with the key of usr_bob, which KEYS does not have; restore that stream")
}

// A login that was decided before the erasure can be recorded just after it.
func TestRun_ReportsSessionsOfTheErased(t *testing.T) {
	s, now := newFixture(t), time.Now()
	s.record(withAna...)
	s.recordAt(events.SessionStarted{SessionID: "ses_1", UserID: "usr_ana", TokenHash: "SECRET"}, now)
	s.recordAt(anaErased, now)
	s.record(anaReleased)
	s.recordAt(events.SessionStarted{SessionID: "ses_2", UserID: "usr_ana", TokenHash: "SECRET"}, now.Add(inFlight))
	s.recordAt(events.SessionStarted{SessionID: "ses_3", UserID: "usr_ana", TokenHash: "SECRET"}, now.Add(inFlight+time.Second))
	s.recordAt(events.SessionRotated{SessionID: "ses_1", UserID: "usr_ana", TokenHash: "SECRET"}, now.Add(time.Hour))
	s.record(events.SessionEnded{SessionID: "ses_1", UserID: "usr_ana", Reason: events.EndedByLogout})
	want(t, s.audit(false, ""),
		"accounts: IDENTITY:7 session ses_3: belongs to user usr_ana, who was erased 1m1s before, at IDENTITY:4",
		"accounts: IDENTITY:8 session ses_1: belongs to user usr_ana, who was erased 1h0m0s before, at IDENTITY:4")
}

// Until the reaction has run, the account is under way. When the reaction has given up, the
// dead letter waits for an operator and nothing is reported.
func TestRun_ReportsAnAddressThatIsNotItsOwners(t *testing.T) {
	for name, test := range map[string]struct {
		given   []events.Event
		waiting uint64 // the event whose reaction has given up
		want    string
	}{
		"claimed, and nobody is registered": {list(anaClaimed), 1,
			"accounts: IDENTITY:1 user usr_at_ana: is claimed, and the reactions have run, but it still belongs to usr_ana, who was not registered"},
		"claimed, and not taken": {extend(withAna, claimed("usr_at_new", "usr_ana")), 3,
			"accounts: IDENTITY:3 user usr_at_new: is claimed, and the reactions have run, but it still belongs to usr_ana, who has another one"},
		"left, and not released": {moved[:4], 4,
			"accounts: IDENTITY:1 user usr_at_ana: is claimed, and the reactions have run, but it still belongs to usr_ana, who has another one"},
		"erased, and the address is kept": {extend(withAna, anaErased), 3,
			"accounts: IDENTITY:1 user usr_at_ana: is claimed, and the reactions have run, but it still belongs to usr_ana, who was erased"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			s.record(test.given...)
			r := s.audit(false, "")
			if want(t, r); r.UnderWay != 1 {
				t.Errorf("%d under way before the reaction ran, want 1", r.UnderWay)
			}
			s.destroy("usr_ana")
			s.acknowledge("identity-on-identity", "identity-erasures")
			want(t, s.audit(false, ""), test.want)
			s.deadLetter("identity-on-identity", "IDENTITY", test.waiting)
			want(t, s.audit(false, ""))
		})
	}
}
