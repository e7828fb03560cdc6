package identity

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

var (
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hall   = given(realmKind, events.RealmOpened{Secret: secret}, events.RealmKeyAdded{KeyID: keyID(seed), Seed: seed})
	secret = bytes.Repeat([]byte{7}, 32)
	seed   = bytes.Repeat([]byte{9}, 32)

	ana      = events.UserRegistered{UserID: "usr_ana", Name: "Ana", Email: "ana@example.com", PasswordHash: "hash", Roles: []string{events.Customer}}
	boss     = events.UserRegistered{UserID: "usr_boss", Name: "Boss", Email: "boss@example.com", PasswordHash: "hash", Roles: []string{events.Admin, events.Customer}}
	asBoss   = given(userKind, boss)
	asAna    = given(userKind, ana)
	asNobody = user{}
)

// given is an entity's state after events that happened at noon, at the positions
// 1, 2 and so on.
func given[S any](kind decider.EntityType[S], facts ...events.Event) (s S) {
	for i, event := range facts {
		if kind.EvolveRecord == nil {
			s = kind.Evolve(s, event, noon)
			continue
		}
		s = kind.EvolveRecord(s, eventlog.Record{Envelope: eventlog.Envelope{Time: noon}, Sequence: uint64(i + 1), Event: event})
	}
	return s
}

// then fails the test unless a decision led to an event (nil for none), which
// must be one that the log takes, or to a refusal.
func then(t *testing.T, got events.Event, err error, want events.Event, code errs.Code) {
	t.Helper()
	if code != "" {
		if !errs.Is(err, code) || got != nil {
			t.Fatalf("want %s, got %+v, %v", code, got, err)
		}
		return
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("want %+v, got %+v, %v", want, got, err)
	}
	if got != nil && got.Check() != nil {
		t.Fatalf("%+v cannot be recorded: %v", got, got.Check())
	}
}

func TestRegistering(t *testing.T) {
	newcomer := account{name: "Ana", email: "ana@example.com", passwordHash: "hash"}
	for name, c := range map[string]struct {
		given []events.Event
		then  events.Event
		code  errs.Code
	}{
		"makes a customer":                         {then: ana},
		"is refused when the address has an owner": {given: []events.Event{ana}, code: errs.Conflict},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := register(given(userKind, c.given...), command.RegisterUser{}, newcomer, decider.Meta{EntityID: "usr_ana"})
			then(t, got, err, c.then, c.code)
		})
	}
}

func TestSettingRoles(t *testing.T) {
	for name, c := range map[string]struct {
		given []events.Event
		roles []string
		as    user
		then  events.Event
		code  errs.Code
	}{
		"sorts them and takes each once": {
			[]events.Event{ana}, []string{"staff", "customer", "staff"}, asBoss,
			events.UserRolesChanged{UserID: "usr_ana", Roles: []string{"customer", "staff"}}, ""},
		"to what they are changes nothing":      {[]events.Event{ana}, []string{"customer"}, asBoss, nil, ""},
		"is an administrator's":                 {[]events.Event{ana}, []string{"admin"}, asAna, nil, errs.Forbidden},
		"is not for just anyone":                {[]events.Event{ana}, []string{"admin"}, asNobody, nil, errs.Forbidden},
		"of nobody is refused":                  {nil, []string{"staff"}, asBoss, nil, errs.NotFound},
		"of oneself keeps an administrator one": {[]events.Event{boss}, []string{"staff"}, asBoss, nil, errs.Conflict},
		"of oneself may change the rest": {
			[]events.Event{boss}, []string{"staff", "admin"}, asBoss,
			events.UserRolesChanged{UserID: "usr_boss", Roles: []string{"admin", "staff"}}, ""},
		"takes the role of another administrator": {
			[]events.Event{boss}, []string{"customer"}, user{UserView: query.UserView{ID: "usr_other", Roles: []string{events.Admin}}},
			events.UserRolesChanged{UserID: "usr_boss", Roles: []string{"customer"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			u := given(userKind, c.given...)
			got, err := setRoles(u, command.SetRoles{UserID: u.ID, Roles: c.roles}, c.as, decider.Meta{})
			then(t, got, err, c.then, c.code)
		})
	}
}

// token is the session's refresh token after n rotations.
func token(n int) string { return hall.write(refreshToken{"ses_1", n}) }

var (
	started = events.SessionStarted{SessionID: "ses_1", UserID: "usr_ana", TokenHash: hashOf(token(0)), ExpiresAt: noon.Add(sessionLife)}
	rotated = func(n int) events.Event {
		return events.SessionRotated{SessionID: "ses_1", UserID: "usr_ana", TokenHash: hashOf(token(n))}
	}
	ended = func(reason string) events.Event {
		return events.SessionEnded{SessionID: "ses_1", UserID: "usr_ana", Reason: reason}
	}
)

func TestLoggingInStartsASession(t *testing.T) {
	who := provenUser{bearer{realm: hall, user: given(userKind, ana)}}
	got, err := logIn(session{}, command.LogIn{}, who, decider.Meta{EntityID: "ses_1", Now: noon})
	then(t, got, err, started, "")
}

func TestRefreshing(t *testing.T) {
	for name, c := range map[string]struct {
		given []events.Event
		n     int
		at    time.Time
		then  events.Event
		code  errs.Code
		of    user
	}{
		"replaces the token":                              {[]events.Event{started}, 0, noon, rotated(1), "", user{}},
		"replaces the replacement":                        {[]events.Event{started, rotated(1)}, 1, noon, rotated(2), "", user{}},
		"with the token before, at once, changes nothing": {[]events.Event{started, rotated(1)}, 0, noon.Add(repeatable), nil, "", user{}},
		"the same by a clock that is a little behind":     {[]events.Event{started, rotated(1)}, 0, noon.Add(-repeatable), nil, "", user{}},
		"with the token before, later, ends them all":     {[]events.Event{started, rotated(1)}, 0, noon.Add(repeatable + 1), ended(events.EndedByReuse), "", user{}},
		"the same by a clock that is far behind":          {[]events.Event{started, rotated(1)}, 0, noon.Add(-time.Hour), ended(events.EndedByReuse), "", user{}},
		"with an older one ends them all":                 {[]events.Event{started, rotated(1), rotated(2)}, 0, noon, ended(events.EndedByReuse), "", user{}},
		"with the token before, after a logout, is refused": {[]events.Event{started, rotated(1), ended(events.EndedByLogout)}, 0, noon, nil,
			errs.Unauthenticated, user{}},
		"with a token to come is refused": {[]events.Event{started}, 1, noon, nil, errs.Unauthenticated, user{}},
		"is refused after a logout":       {[]events.Event{started, ended(events.EndedByLogout)}, 0, noon, nil, errs.Unauthenticated, user{}},
		"is refused after a reuse":        {[]events.Event{started, rotated(1), ended(events.EndedByReuse)}, 1, noon, nil, errs.Unauthenticated, user{}},
		"works to the last moment":        {[]events.Event{started}, 0, noon.Add(sessionLife - 1), rotated(1), "", user{}},
		"is refused after thirty days":    {[]events.Event{started}, 0, noon.Add(sessionLife), nil, errs.Unauthenticated, user{}},
		"is refused when the password was changed": {[]events.Event{started}, 0, noon, nil, errs.Unauthenticated,
			given(userKind, ana, events.UserPasswordChanged{UserID: "usr_ana", PasswordHash: "other"})},
		"of no session is refused": {nil, 0, noon, nil, errs.Unauthenticated, user{}},
	} {
		t.Run(name, func(t *testing.T) {
			known := renewal{bearer{realm: hall, user: c.of}, refreshToken{"ses_1", c.n}}
			got, err := refresh(given(sessionKind, c.given...), command.RefreshSession{RefreshToken: token(c.n)}, known, decider.Meta{Now: c.at})
			then(t, got, err, c.then, c.code)
		})
	}
}

func TestLoggingOut(t *testing.T) {
	for name, c := range map[string]struct {
		given []events.Event
		at    time.Time
		then  events.Event
		code  errs.Code
	}{
		"ends the session":                   {[]events.Event{started}, noon, ended(events.EndedByLogout), ""},
		"of an ended session does nothing":   {[]events.Event{started, ended(events.EndedByReuse)}, noon, nil, ""},
		"of an expired session does nothing": {[]events.Event{started}, noon.Add(sessionLife), nil, ""},
		"of no session is refused":           {nil, noon, nil, errs.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := logOut(given(sessionKind, c.given...), command.LogOut{}, struct{}{}, decider.Meta{Now: c.at})
			then(t, got, err, c.then, c.code)
		})
	}
}

func TestResettingAPassword(t *testing.T) {
	for name, c := range map[string]struct {
		given []events.Event
		then  events.Event
		code  errs.Code
	}{
		"replaces it":                           {[]events.Event{ana}, events.UserPasswordChanged{UserID: "usr_ana", PasswordHash: "other"}, ""},
		"to the same ends the sessions as well": {[]events.Event{ana, events.UserPasswordChanged{UserID: "usr_ana", PasswordHash: "other"}}, events.UserPasswordChanged{UserID: "usr_ana", PasswordHash: "other"}, ""},
		"of nobody is refused":                  {nil, nil, errs.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := resetPassword(given(userKind, c.given...), command.ResetPassword{}, "other", decider.Meta{})
			then(t, got, err, c.then, c.code)
		})
	}
}

func TestTheRealmIsOpenedOnce(t *testing.T) {
	got, err := open(realm{}, secret)
	then(t, got, err, events.RealmOpened{Secret: secret}, "")
	got, err = open(hall, seed)
	then(t, got, err, nil, "")

	got, err = addFirstKey(realm{}, seed)
	then(t, got, err, events.RealmKeyAdded{KeyID: keyID(seed), Seed: seed}, "")
	got, err = addFirstKey(hall, secret)
	then(t, got, err, nil, "")

	again := given(realmKind, events.RealmOpened{Secret: secret}, events.RealmOpened{Secret: seed})
	if !bytes.Equal(again.secret, secret) {
		t.Fatal("a second opening changed the secret")
	}
}

func TestAppointingTheFirstAdministrator(t *testing.T) {
	appointed := func(id events.UserID) events.Event { return events.RealmAdminAppointed{UserID: id} }
	for name, c := range map[string]struct {
		given   []events.Event
		id, was events.UserID
		then    events.Event
	}{
		"happens at the first start":             {nil, "usr_ana", "", appointed("usr_ana")},
		"happens once":                           {[]events.Event{appointed("usr_ana")}, "usr_ana", "", nil},
		"yields to who was faster":               {[]events.Event{appointed("usr_boss")}, "usr_ana", "", nil},
		"fills the place of one who never came":  {[]events.Event{appointed("usr_boss")}, "usr_ana", "usr_boss", appointed("usr_ana")},
		"repeats nothing for one who yet may":    {[]events.Event{appointed("usr_ana")}, "usr_ana", "usr_ana", nil},
		"yields to who was faster to fill it so": {[]events.Event{appointed("usr_x"), appointed("usr_boss")}, "usr_ana", "usr_x", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := appoint(given(realmKind, c.given...), c.id, c.was)
			then(t, got, err, c.then, "")
		})
	}

	got, err := enrolAdmin(user{}, account{name: "Ana", email: "ana@example.com", passwordHash: "hash"}, decider.Meta{EntityID: "usr_ana"})
	admin := ana
	admin.Roles = []string{events.Admin, events.Customer, events.Staff}
	then(t, got, err, admin, "")
	got, err = enrolAdmin(given(userKind, ana), account{}, decider.Meta{EntityID: "usr_ana"})
	then(t, got, err, nil, "")
}

func TestOnlyTheRealmWritesRefreshTokens(t *testing.T) {
	for n := range 3 {
		if got, err := hall.read(token(n)); err != nil || got != (refreshToken{"ses_1", n}) {
			t.Fatalf("read %+v, %v", got, err)
		}
	}
	stranger := given(realmKind, events.RealmOpened{Secret: seed})
	mac := token(1)[strings.LastIndex(token(1), "."):]
	for name, forged := range map[string]string{
		"empty":                  "",
		"dots":                   "...",
		"without a mac":          "ses_1.1",
		"with an empty mac":      "ses_1.1.",
		"of another session":     "ses_2.1" + mac,
		"of another number":      "ses_1.2" + mac,
		"written otherwise":      "ses_1.01" + mac,
		"with a sign":            "ses_1.+1" + mac,
		"with a number too long": "ses_1." + strings.Repeat("1", 100) + mac,
		"with more at the end":   token(1) + "=",
		"cut short":              strings.TrimSuffix(token(1), token(1)[len(token(1))-1:]),
		"of another realm":       stranger.write(refreshToken{"ses_1", 1}),
		"of a hostile session":   "ses.>.1" + mac,
	} {
		if _, err := hall.read(forged); !errs.Is(err, errs.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnAddressIsOneUserHoweverItIsWritten(t *testing.T) {
	if hall.userIDs(" Ana@Example.com ")[0] != hall.userIDs("ana@example.com")[0] {
		t.Fatal("one address, two users")
	}
	if hall.userIDs("ana@example.com")[0] == hall.userIDs("bob@example.com")[0] {
		t.Fatal("two addresses, one user")
	}
	if id := hall.userIDs("ana@example.com")[0]; !events.IsToken(string(id)) || len(id) != len("usr_")+32 {
		t.Fatalf("id %q", id)
	}
}

func TestAPasswordIsHashedAtTheCostThatItsHashNames(t *testing.T) {
	var paid []cost
	p := newPasswords(func(password, salt []byte, time, memory uint32, threads uint8, _ uint32) []byte {
		paid = append(paid, cost{memory, time, threads})
		return append(bytes.Clone(password), salt...)
	})
	old := cost{memory: 1024, time: 1, threads: 1}
	hash, err := p.hash(t.Context(), old, "correct horse", []byte("salt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		hash, password string
		match          bool
		cost           cost
	}{
		{hash, "correct horse", true, old},
		{hash, "wrong horse", false, old},
		{"", "correct horse", false, today},
		{"$argon2id$v=19$m=99999999,t=2,p=1$AA$AA", "correct horse", false, today},
		{"nonsense", "correct horse", false, today},
	} {
		paid = nil
		ok, err := p.match(t.Context(), c.hash, c.password, []byte("salt"))
		if err != nil || ok != c.match || !reflect.DeepEqual(paid, []cost{c.cost}) {
			t.Errorf("%q with %q: match %v at %v, %v", c.hash, c.password, ok, paid, err)
		}
	}
}
