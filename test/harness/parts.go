package harness

import (
	"testing"

	"lonja"
	"lonja/kit/streams"
	"lonja/services/identity"
	"lonja/shop"
)

// Config configures the services that the tests make themselves. Programs that the
// tests start get the same administrator.
var Config = shop.Config{Identity: identity.Config{AdminEmail: AdminEmail, AdminPassword: AdminPassword}}

// Streams is streams.yaml.
func Streams(t testing.TB) *streams.Config {
	t.Helper()
	config, err := streams.Parse(lonja.StreamsYAML)
	if err != nil {
		t.Fatal(err)
	}
	return config
}
