package shop_test

import (
	"slices"
	"testing"

	"lonja/kit/natsauth"
	"lonja/kit/streams"
	"lonja/services/identity"
	"lonja/shop"
)

// Who may do what with the keys that seal what identifies a person. The operator, who runs
// the shop, may do everything; without the file of key-encryption keys, the keys tell nobody
// anything.
func TestPermissions_WhoMayUseTheKeys(t *testing.T) {
	publish := func(p natsauth.Permissions) []string { return p.Publish }
	subscribe := func(p natsauth.Permissions) []string { return p.Subscribe }
	for _, c := range []struct {
		what    string
		of      func(natsauth.Permissions) []string
		subject string
		may     []string
	}{
		{"read one", publish, "$JS.API.STREAM.MSG.GET.KEYS", []string{"operator", "identity"}},
		{"make one", publish, "keys.usr_1", []string{"operator", "identity"}},
		{"erase one", publish, "$JS.API.STREAM.MSG.DELETE.KEYS", []string{"operator", "identity"}},
		{"read one from any server", publish, "$JS.API.DIRECT.GET.KEYS", []string{"operator"}},
		{"read the last one of a person", publish, "$JS.API.DIRECT.GET.KEYS.keys.usr_1", []string{"operator"}},
		{"have them delivered", publish, "$JS.API.CONSUMER.CREATE.KEYS.x", []string{"operator"}},
		{"have them delivered to all", publish, "$JS.API.CONSUMER.DURABLE.CREATE.KEYS.x", []string{"operator"}},
		{"take a snapshot", publish, "$JS.API.STREAM.SNAPSHOT.KEYS", []string{"operator"}},
		{"remove all", publish, "$JS.API.STREAM.DELETE.KEYS", []string{"operator"}},
		{"change the stream", publish, "$JS.API.STREAM.UPDATE.KEYS", []string{"operator"}},
		{"watch", subscribe, "keys.usr_1", []string{"operator"}},
	} {
		var may []string
		for _, i := range shop.Identities(shop.Config{Identity: identity.Config{AdminPassword: "correct horse battery"}}, streamsConfig(t)) {
			allowed := func(filters []string) bool {
				return slices.ContainsFunc(filters, func(f string) bool { return streams.Matches(f, c.subject) })
			}
			if allowed(c.of(i.Permissions)) && !allowed(i.Permissions.DenyPublish) {
				may = append(may, i.Name)
			}
		}
		if !slices.Equal(may, c.may) {
			t.Errorf("%s (%s): %q may, want %q", c.what, c.subject, may, c.may)
		}
	}
}

// What is sealed has to be declared: otherwise a service could not open it.
func TestServices_ThatReadIdentityHaveKeys(t *testing.T) {
	for _, s := range shop.All(shop.Config{Identity: identity.Config{AdminPassword: "correct horse battery"}}) {
		if want := s.Name == "identity"; s.Sealed != want {
			t.Errorf("service %s is sealed: %v, want %v", s.Name, s.Sealed, want)
		}
	}
}
