package natsauth

import (
	"fmt"
	"path/filepath"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// Users are who may connect to a server in this process, and what each may do
// there: what auth.conf says to other servers. Keys that are missing in
// KEYS/<identity>/seed are made, readable by their owner alone.
func Users(keys string, identities []Identity) ([]*natsserver.NkeyUser, error) {
	var all []*natsserver.NkeyUser
	for _, identity := range identities {
		own := keysOf(filepath.Join(keys, identity.Name))
		have, err := own.have()
		if err == nil && !have {
			err = own.make()
		}
		if err != nil {
			return nil, fmt.Errorf("key of %s: %w", identity.Name, err)
		}
		public, err := own.public()
		if err != nil {
			return nil, fmt.Errorf("key of %s: %w", identity.Name, err)
		}
		for _, key := range public {
			all = append(all, &natsserver.NkeyUser{Nkey: key, Permissions: natsPermissions(identity.Permissions.Sorted())})
		}
	}
	return all, nil
}

func natsPermissions(g Permissions) *natsserver.Permissions {
	p := &natsserver.Permissions{
		Publish:   &natsserver.SubjectPermission{Allow: g.Publish, Deny: g.DenyPublish},
		Subscribe: &natsserver.SubjectPermission{Allow: g.Subscribe},
	}
	if g.AllowResponses {
		p.Response = &natsserver.ResponsePermission{MaxMsgs: answersAtMost, Expires: answersWithin}
	}
	return p
}

// An answer may come this late: a service's own patience, and some. A large one
// comes in parts, each a message.
const (
	answersAtMost = 64
	answersWithin = 30 * time.Second
)
