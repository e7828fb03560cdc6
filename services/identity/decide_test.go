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
	iss    = given(issuerType, events.RealmOpened{Secret: secret}, events.RealmKeyAdded{KeyID: keyID(seed), Seed: seed, PublicKey: publicHalf(seed)})
	secret = bytes.Repeat([]byte{7}, 32)
	seed   = bytes.Repeat([]byte{9}, 32)

	// ana and boss are of an earlier version, and anaNow is of today's.
	ana      = events.UserRegistered{UserID: "usr_ana", Name: "Ana", Email: "ana@example.com", PasswordHash: "hash", Roles: []string{events.Customer}}
	anaNow   = events.UserRegistered{UserID: "usr_ana", Name: "Ana", Email: "ana@example.com", PasswordHash: "hash", Roles: []string{events.Customer}, EmailID: "usr_address"}
	boss     = events.UserRegistered{UserID: "usr_boss", Name: "Boss", Email: "boss@example.com", PasswordHash: "hash", Roles: []string{events.Admin, events.Customer}}
	asBoss   = given(userType, boss)
	asAna    = given(userType, ana)
	asNobody = user{}
)

// given returns an entity's state after events that were recorded at noon, at the sequences
// 1, 2 and so on.
func given[S any](entityType decider.EntityType[S], recorded ...events.Event) (s S) {
	for i, event := range recorded {
		if entityType.EvolveRecord == nil {
			s = entityType.Evolve(s, event, noon)
			continue
		}
		s = entityType.EvolveRecord(s, eventlog.Record{Envelope: eventlog.Envelope{Time: noon, Type: events.Type(event)}, Sequence: uint64(i + 1), Event: event})
	}
	return s
}

// then fails the test unless a decision led to an event, which must be valid (nil for none),
// or to an error with a code.
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
		t.Fatalf("%+v is invalid: %v", got, got.Check())
	}
}

func TestClaim(t *testing.T) {
	newcomer := account{id: "usr_ana", addressID: "usr_address", name: "Ana", email: "ana@example.com", passwordHash: "hash"}
	claimed := func(by events.UserID) events.Event {
		return events.UserEmailClaimed{EmailID: "usr_address", UserID: by, Email: "ana@example.com", Name: "Ana", PasswordHash: "hash", Roles: []string{events.Customer}}
	}
	for name, c := range map[string]struct {
		given []events.Event
		then  events.Event
		code  errs.Code
	}{
		"takes a free address":                      {nil, claimed("usr_ana"), ""},
		"conflicts when it is taken":                {[]events.Event{claimed("usr_bob")}, nil, errs.Conflict},
		"conflicts with an older account":           {[]events.Event{ana}, nil, errs.Conflict},
		"takes one that was released":               {[]events.Event{claimed("usr_bob"), events.UserEmailReleased{EmailID: "usr_address", UserID: "usr_bob"}}, claimed("usr_ana"), ""},
		"takes one whose older account was erased":  {[]events.Event{ana, events.UserErased{UserID: "usr_ana", EmailID: "usr_other"}}, claimed("usr_ana"), ""},
		"ignores a release by another":              {[]events.Event{claimed("usr_bob"), events.UserEmailReleased{EmailID: "usr_address", UserID: "usr_gone"}}, nil, errs.Conflict},
		"ignores the account that has its own name": {[]events.Event{anaNow}, claimed("usr_ana"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := claim(given(addressType, c.given...), command.RegisterUser{}, newcomer, decider.Meta{EntityID: "usr_address"})
			then(t, got, err, c.then, c.code)
		})
	}
	_, err := claim(address{}, command.RegisterUser{}, newcomer, decider.Meta{EntityID: "usr_old"})
	then(t, nil, err, nil, errs.Unavailable)
}

func TestClaimAnother(t *testing.T) {
	by := emailChange{authorized: authorized{user: given(userType, anaNow)}, addressID: "usr_new"}
	claimed := func(by events.UserID) events.Event {
		return events.UserEmailClaimed{EmailID: "usr_new", UserID: by, Email: "new@example.com"}
	}
	for name, c := range map[string]struct {
		given []events.Event
		at    string
		by    emailChange
		then  events.Event
		code  errs.Code
	}{
		"takes a free address":                    {nil, "usr_new", by, claimed("usr_ana"), ""},
		"conflicts when it is taken":              {[]events.Event{claimed("usr_bob")}, "usr_new", by, nil, errs.Conflict},
		"needs nothing for the present one":       {[]events.Event{claimed("usr_ana")}, "usr_address", by, nil, ""},
		"does not take another of its ids":        {nil, "usr_old", by, nil, errs.Unavailable},
		"waits for a claim that goes on":          {[]events.Event{claimed("usr_ana")}, "usr_new", by, nil, errs.Unavailable},
		"is not for an account that is not there": {nil, "usr_new", emailChange{}, nil, errs.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := claimAnother(given(addressType, c.given...), command.ChangeEmail{UserID: "usr_ana", Email: "new@example.com"}, c.by, decider.Meta{EntityID: c.at})
			then(t, got, err, c.then, c.code)
		})
	}
}

func TestGetAddress(t *testing.T) {
	first := events.UserEmailClaimed{EmailID: "usr_address", UserID: "usr_ana", Email: "ana@example.com", Name: "Ana", PasswordHash: "hash", Roles: []string{events.Customer}}
	another := events.UserEmailClaimed{EmailID: "usr_new", UserID: "usr_ana", Email: "new@example.com"}
	changed := events.UserEmailChanged{UserID: "usr_ana", Email: "new@example.com", EmailID: "usr_new", Previous: "usr_address"}
	erased := events.UserErased{UserID: "usr_ana", EmailID: "usr_address"}
	unreadable := events.UserEmailClaimed{Sealed: events.Sealed{Withheld: true}, EmailID: "usr_new", UserID: "usr_ana"}
	for name, c := range map[string]struct {
		given   []events.Event
		claimed events.UserEmailClaimed
		then    events.Event
	}{
		"creates a new account":             {nil, first, anaNow},
		"creates it once":                   {[]events.Event{anaNow}, first, nil},
		"not after its erasure":             {[]events.Event{anaNow, erased}, first, nil},
		"changes the address of an account": {[]events.Event{anaNow}, another, changed},
		"changes it once":                   {[]events.Event{anaNow, changed}, another, nil},
		"not of an erased one":              {[]events.Event{anaNow, erased}, another, nil},
		"not of one that is being erased":   {[]events.Event{anaNow}, unreadable, nil},
		"not of an account that is none":    {nil, another, nil},
		"of an older account":               {[]events.Event{ana}, another, events.UserEmailChanged{UserID: "usr_ana", Email: "new@example.com", EmailID: "usr_new", Previous: "usr_ana"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := getAddress(given(userType, c.given...), c.claimed, decider.Meta{})
			then(t, got, err, c.then, "")
		})
	}
}

func TestRelease(t *testing.T) {
	claimed := events.UserEmailClaimed{EmailID: "usr_address", UserID: "usr_ana", Email: "ana@example.com"}
	taken := events.UserEmailClaimed{EmailID: "usr_address", UserID: "usr_bob", Email: "ana@example.com"}
	released := events.UserEmailReleased{EmailID: "usr_address", UserID: "usr_ana"}
	for name, c := range map[string]struct {
		given []events.Event
		then  events.Event
	}{
		"frees the address":              {[]events.Event{claimed}, released},
		"frees it once":                  {[]events.Event{claimed, released}, nil},
		"leaves it to who has it now":    {[]events.Event{claimed, released, taken}, nil},
		"of an older account frees it":   {[]events.Event{ana}, released},
		"of an erased older one is done": {[]events.Event{ana, events.UserErased{UserID: "usr_ana", EmailID: "usr_address"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := releasePrevious(given(addressType, c.given...), events.UserEmailChanged{UserID: "usr_ana", Previous: "usr_address"}, decider.Meta{})
			then(t, got, err, c.then, "")
			got, err = releaseErased(given(addressType, c.given...), events.UserErased{UserID: "usr_ana", EmailID: "usr_address"}, decider.Meta{})
			then(t, got, err, c.then, "")
		})
	}
}

// An account of an earlier version and its address are on the same subjects.
func TestUser_IgnoresTheEventsOfAnAddress(t *testing.T) {
	claimed := events.UserEmailClaimed{EmailID: "usr_ana", UserID: "usr_bob", Email: "ana@example.com", Name: "Bob", PasswordHash: "his", Roles: []string{events.Customer}}
	released := events.UserEmailReleased{EmailID: "usr_ana", UserID: "usr_ana"}
	withheld := claimed
	withheld.Withheld = true
	if u := given(userType, claimed, released, withheld); !reflect.DeepEqual(u, user{}) {
		t.Errorf("a claim makes the account %+v", u)
	}
	if u := given(userType, ana, released, claimed, withheld); !reflect.DeepEqual(u, given(userType, ana)) {
		t.Errorf("a claim changes the account to %+v", u)
	}
}

// The key is destroyed after the erasure is recorded, but a reader may see the first before the
// second.
func TestUser_WhoseKeyIsDestroyedIsErased(t *testing.T) {
	sealed := events.Sealed{Withheld: true}
	for name, recorded := range map[string][]events.Event{
		"erased":                   {anaNow, events.UserErased{UserID: "usr_ana", EmailID: "usr_address"}},
		"erased, and then changed": {anaNow, events.UserErased{UserID: "usr_ana", EmailID: "usr_address"}, events.UserRolesChanged{UserID: "usr_ana", Roles: []string{events.Admin}}},
		"without a name":           {events.UserRegistered{Sealed: sealed, UserID: "usr_ana", Roles: []string{events.Admin}}},
		"without a password":       {ana, events.UserPasswordChanged{Sealed: sealed, UserID: "usr_ana"}},
		"without an address":       {ana, events.UserEmailChanged{Sealed: sealed, UserID: "usr_ana", EmailID: "usr_new", Previous: "usr_ana"}},
		"without a profile":        {ana, events.UserProfileChanged{Sealed: sealed, UserID: "usr_ana"}},
		"sealed before":            {ana, events.UserSealed{Sealed: sealed, UserID: "usr_ana"}},
	} {
		if u := given(userType, recorded...); u.exists() || u.hasRole(events.Admin) || u.passwordHash != "" || !userType.Erased(u) {
			t.Errorf("%s: %+v", name, u)
		}
	}
	if ok, err := newPasswords(quick).match(t.Context(), "", "", nil); ok || err != nil {
		t.Errorf("no hash matches no password: %v, %v", ok, err)
	}
}

func TestIssuer_WhoseKeyIsDestroyedOpensNoOther(t *testing.T) {
	lost := given(issuerType, events.RealmOpened{Sealed: events.Sealed{Withheld: true}},
		events.RealmKeyAdded{Sealed: events.Sealed{Withheld: true}, KeyID: "key_1", PublicKey: publicHalf(seed)})
	got, err := open(lost, secret)
	then(t, got, err, nil, "")
	if _, err := lost.keys.signer(noon); lost.secret != nil || !errs.Is(err, errs.Unavailable) {
		t.Errorf("%+v", lost)
	}
}

func TestChangeProfile(t *testing.T) {
	text := func(s string) *string { return &s }
	for name, c := range map[string]struct {
		given  []events.Event
		change command.ChangeProfile
		then   events.Event
		code   errs.Code
	}{
		"keeps what is not given":   {[]events.Event{ana}, command.ChangeProfile{Locale: text("es")}, events.UserProfileChanged{UserID: "usr_ana", Name: "Ana", Locale: "es"}, ""},
		"changes both":              {[]events.Event{ana}, command.ChangeProfile{Name: text("Eva"), Locale: text("es")}, events.UserProfileChanged{UserID: "usr_ana", Name: "Eva", Locale: "es"}, ""},
		"takes the locale away":     {[]events.Event{ana, events.UserProfileChanged{UserID: "usr_ana", Name: "Ana", Locale: "es"}}, command.ChangeProfile{Locale: text("")}, events.UserProfileChanged{UserID: "usr_ana", Name: "Ana"}, ""},
		"to the same needs nothing": {[]events.Event{ana}, command.ChangeProfile{Name: text("Ana"), Locale: text("")}, nil, ""},
		"of nobody is not found":    {nil, command.ChangeProfile{Name: text("Ana")}, nil, errs.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := changeProfile(given(userType, c.given...), c.change, profileChange{}, decider.Meta{})
			then(t, got, err, c.then, c.code)
		})
	}
}

func TestErase(t *testing.T) {
	erased := events.UserErased{UserID: "usr_ana", EmailID: "usr_address"}
	for name, c := range map[string]struct {
		given []events.Event
		self  bool
		then  events.Event
		code  errs.Code
	}{
		"names the address":           {[]events.Event{anaNow}, true, erased, ""},
		"by an administrator":         {[]events.Event{anaNow}, false, erased, ""},
		"of an older account":         {[]events.Event{ana}, true, events.UserErased{UserID: "usr_ana", EmailID: "usr_ana"}, ""},
		"of an administrator":         {[]events.Event{boss}, false, events.UserErased{UserID: "usr_boss", EmailID: "usr_boss"}, ""},
		"of an administrator by them": {[]events.Event{boss}, true, nil, errs.Conflict},
		"of one who was erased":       {[]events.Event{anaNow, erased}, false, nil, errs.NotFound},
		"of nobody":                   {nil, false, nil, errs.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := erase(given(userType, c.given...), command.EraseUser{}, erasure{authorized: authorized{self: c.self}}, decider.Meta{})
			then(t, got, err, c.then, c.code)
		})
	}
}

func TestSeal(t *testing.T) {
	recordedAs := func(typ string) user {
		u := evolveUser(user{}, eventlog.Record{Envelope: eventlog.Envelope{Time: noon, Type: typ}, Sequence: 1, Event: ana})
		return evolveUser(u, eventlog.Record{Sequence: 2, Event: events.UserProfileChanged{UserID: "usr_ana", Name: "Eva"}})
	}
	plain := recordedAs("lonja.user.registered.v1")
	sealed := events.UserSealed{UserID: "usr_ana", Name: "Eva", Email: "ana@example.com", PasswordHash: "hash"}
	again := evolveUser(plain, eventlog.Record{Sequence: 3, Event: sealed})
	for name, c := range map[string]struct {
		given user
		then  events.Event
		code  errs.Code
	}{
		"records an older account as it is now": {plain, sealed, ""},
		"once":                                  {again, nil, ""},
		"needs nothing for an account of today's": {recordedAs(events.Type(ana)), nil, ""},
		"of nobody is not found":                  {user{}, nil, errs.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := seal(c.given, command.SealUser{}, decider.Meta{})
			then(t, got, err, c.then, c.code)
		})
	}
	if again.plain = true; !reflect.DeepEqual(again, plain) {
		t.Errorf("sealing changes %+v to %+v", plain, again)
	}
}

func TestRegisterAdmin(t *testing.T) {
	admin := events.UserRegistered{UserID: "usr_address", Name: "Ana", Email: "ana@example.com", PasswordHash: "hash", Roles: []string{events.Admin, events.Customer, events.Staff}}
	for name, c := range map[string]struct {
		given []events.Event
		then  events.Event
		code  errs.Code
	}{
		"creates an account at the address":      {nil, admin, ""},
		"creates it once":                        {[]events.Event{admin}, nil, ""},
		"leaves the address of somebody to them": {[]events.Event{events.UserEmailClaimed{EmailID: "usr_address", UserID: "usr_bob"}}, nil, errs.Conflict},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := registerAdmin(given(addressType, c.given...), account{name: "Ana", email: "ana@example.com", passwordHash: "hash"}, decider.Meta{EntityID: "usr_address"})
			then(t, got, err, c.then, c.code)
		})
	}
}

func TestSetRoles(t *testing.T) {
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
		"to what they are changes nothing":        {[]events.Event{ana}, []string{"customer"}, asBoss, nil, ""},
		"is for administrators":                   {[]events.Event{ana}, []string{"admin"}, asAna, nil, errs.Forbidden},
		"is not for an unknown actor":             {[]events.Event{ana}, []string{"admin"}, asNobody, nil, errs.Forbidden},
		"of nobody is not found":                  {nil, []string{"staff"}, asBoss, nil, errs.NotFound},
		"of oneself keeps the administrator role": {[]events.Event{boss}, []string{"staff"}, asBoss, nil, errs.Conflict},
		"of oneself may change the rest": {
			[]events.Event{boss}, []string{"staff", "admin"}, asBoss,
			events.UserRolesChanged{UserID: "usr_boss", Roles: []string{"admin", "staff"}}, ""},
		"takes the role of another administrator": {
			[]events.Event{boss}, []string{"customer"}, user{UserView: query.UserView{ID: "usr_other", Roles: []string{events.Admin}}},
			events.UserRolesChanged{UserID: "usr_boss", Roles: []string{"customer"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			u := given(userType, c.given...)
			got, err := setRoles(u, command.SetRoles{UserID: u.ID, Roles: c.roles}, c.as, decider.Meta{})
			then(t, got, err, c.then, c.code)
		})
	}
}

// token returns the session's refresh token after n rotations.
func token(n int) string { return iss.formatRefreshToken(refreshToken{"ses_1", n}) }

var (
	started = events.SessionStarted{SessionID: "ses_1", UserID: "usr_ana", TokenHash: hashToken(token(0)), ExpiresAt: noon.Add(sessionLife)}
	rotated = func(n int) events.Event {
		return events.SessionRotated{SessionID: "ses_1", UserID: "usr_ana", TokenHash: hashToken(token(n))}
	}
	ended = func(reason string) events.Event {
		return events.SessionEnded{SessionID: "ses_1", UserID: "usr_ana", Reason: reason}
	}
)

func TestLogIn_StartsASession(t *testing.T) {
	who := authenticated{tokenHolder{issuer: iss, user: given(userType, ana)}}
	got, err := logIn(session{}, command.LogIn{}, who, decider.Meta{EntityID: "ses_1", Now: noon})
	then(t, got, err, started, "")
}

func TestRefresh(t *testing.T) {
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
		"with the token before, after a logout, is rejected": {[]events.Event{started, rotated(1), ended(events.EndedByLogout)}, 0, noon, nil,
			errs.Unauthenticated, user{}},
		"with a token to come is rejected": {[]events.Event{started}, 1, noon, nil, errs.Unauthenticated, user{}},
		"is rejected after a logout":       {[]events.Event{started, ended(events.EndedByLogout)}, 0, noon, nil, errs.Unauthenticated, user{}},
		"is rejected after a reuse":        {[]events.Event{started, rotated(1), ended(events.EndedByReuse)}, 1, noon, nil, errs.Unauthenticated, user{}},
		"works to the last moment":         {[]events.Event{started}, 0, noon.Add(sessionLife - 1), rotated(1), "", user{}},
		"is rejected after thirty days":    {[]events.Event{started}, 0, noon.Add(sessionLife), nil, errs.Unauthenticated, user{}},
		"is rejected when the password was changed": {[]events.Event{started}, 0, noon, nil, errs.Unauthenticated,
			given(userType, ana, events.UserPasswordChanged{UserID: "usr_ana", PasswordHash: "other"})},
		"of no session is rejected": {nil, 0, noon, nil, errs.Unauthenticated, user{}},
	} {
		t.Run(name, func(t *testing.T) {
			known := renewal{tokenHolder{issuer: iss, user: c.of}, refreshToken{"ses_1", c.n}}
			got, err := refresh(given(sessionType, c.given...), command.RefreshSession{RefreshToken: token(c.n)}, known, decider.Meta{Now: c.at})
			then(t, got, err, c.then, c.code)
		})
	}
}

func TestLogOut(t *testing.T) {
	for name, c := range map[string]struct {
		given []events.Event
		at    time.Time
		then  events.Event
		code  errs.Code
	}{
		"ends the session":                   {[]events.Event{started}, noon, ended(events.EndedByLogout), ""},
		"of an ended session does nothing":   {[]events.Event{started, ended(events.EndedByReuse)}, noon, nil, ""},
		"of an expired session does nothing": {[]events.Event{started}, noon.Add(sessionLife), nil, ""},
		"of no session is rejected":          {nil, noon, nil, errs.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := logOut(given(sessionType, c.given...), command.LogOut{}, struct{}{}, decider.Meta{Now: c.at})
			then(t, got, err, c.then, c.code)
		})
	}
}

func TestResetPassword(t *testing.T) {
	for name, c := range map[string]struct {
		given []events.Event
		then  events.Event
		code  errs.Code
	}{
		"replaces it":                           {[]events.Event{ana}, events.UserPasswordChanged{UserID: "usr_ana", PasswordHash: "other"}, ""},
		"to the same ends the sessions as well": {[]events.Event{ana, events.UserPasswordChanged{UserID: "usr_ana", PasswordHash: "other"}}, events.UserPasswordChanged{UserID: "usr_ana", PasswordHash: "other"}, ""},
		"of nobody is not found":                {nil, nil, errs.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := resetPassword(given(userType, c.given...), command.ResetPassword{}, "other", decider.Meta{})
			then(t, got, err, c.then, c.code)
		})
	}
}

func TestIssuer_IsCreatedOnce(t *testing.T) {
	got, err := open(issuer{}, secret)
	then(t, got, err, events.RealmOpened{Secret: secret}, "")
	got, err = open(iss, seed)
	then(t, got, err, nil, "")

	now := time.Date(2026, 11, 23, 12, 30, 0, 0, time.UTC)
	got, err = addFirstKey(issuer{}, seed, now)
	then(t, got, err, events.RealmKeyAdded{KeyID: keyID(seed), Seed: seed, PublicKey: publicHalf(seed), ActiveAt: now}, "")
	got, err = addFirstKey(iss, secret, now)
	then(t, got, err, nil, "")

	again := given(issuerType, events.RealmOpened{Secret: secret}, events.RealmOpened{Secret: seed})
	if !bytes.Equal(again.secret, secret) {
		t.Fatal("a second opening changed the secret")
	}
}

func TestAppoint_FirstAdministrator(t *testing.T) {
	appointed := func(id events.UserID) events.Event { return events.RealmAdminAppointed{UserID: id} }
	for name, c := range map[string]struct {
		given   []events.Event
		id, was events.UserID
		then    events.Event
	}{
		"happens at the first start":        {nil, "usr_ana", "", appointed("usr_ana")},
		"happens once":                      {[]events.Event{appointed("usr_ana")}, "usr_ana", "", nil},
		"yields to a faster replica":        {[]events.Event{appointed("usr_boss")}, "usr_ana", "", nil},
		"replaces one who never registered": {[]events.Event{appointed("usr_boss")}, "usr_ana", "usr_boss", appointed("usr_ana")},
		"does not repeat an appointment":    {[]events.Event{appointed("usr_ana")}, "usr_ana", "usr_ana", nil},
		"yields to a faster replacement":    {[]events.Event{appointed("usr_x"), appointed("usr_boss")}, "usr_ana", "usr_x", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := appoint(given(issuerType, c.given...), c.id, c.was)
			then(t, got, err, c.then, "")
		})
	}
}

func TestRefreshToken_ForgedIsRejected(t *testing.T) {
	for n := range 3 {
		if got, err := iss.parseRefreshToken(token(n)); err != nil || got != (refreshToken{"ses_1", n}) {
			t.Fatalf("read %+v, %v", got, err)
		}
	}
	other := given(issuerType, events.RealmOpened{Secret: seed})
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
		"of another issuer":      other.formatRefreshToken(refreshToken{"ses_1", 1}),
		"of a hostile session":   "ses.>.1" + mac,
	} {
		if _, err := iss.parseRefreshToken(forged); !errs.Is(err, errs.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAddressIDs_FollowFromTheAddress(t *testing.T) {
	if iss.addressIDs(" Ana@Example.com ")[0] != iss.addressIDs("ana@example.com")[0] {
		t.Fatal("one address, two entities")
	}
	if iss.addressIDs("ana@example.com")[0] == iss.addressIDs("bob@example.com")[0] {
		t.Fatal("two addresses, one entity")
	}
	if id := iss.addressIDs("ana@example.com")[0]; !events.IsToken(string(id)) || len(id) != len("usr_")+32 {
		t.Fatalf("id %q", id)
	}
}

func TestPasswords_MatchAtTheCostThatTheHashNames(t *testing.T) {
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
		{"", "correct horse", false, currentCost},
		{"$argon2id$v=19$m=99999999,t=2,p=1$AA$AA", "correct horse", false, currentCost},
		{"nonsense", "correct horse", false, currentCost},
	} {
		paid = nil
		ok, err := p.match(t.Context(), c.hash, c.password, []byte("salt"))
		if err != nil || ok != c.match || !reflect.DeepEqual(paid, []cost{c.cost}) {
			t.Errorf("%q with %q: match %v at %v, %v", c.hash, c.password, ok, paid, err)
		}
	}
}
