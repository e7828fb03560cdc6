package natsauth

import (
	"fmt"
	"path/filepath"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// Users returns the users of a NATS server that runs in this process, with their
// permissions. It is the equivalent of auth.conf for such a server. A key
// that is missing in <keys>/<identity>/seed is created, readable by its owner only.
// During a rotation an identity has two users, one for each key. The error names
// the identity whose key cannot be read or created.
func Users(keys string, identities []Identity) ([]*natsserver.NkeyUser, error) {
	var users []*natsserver.NkeyUser
	for _, identity := range identities {
		own := keyDir(filepath.Join(keys, identity.Name))
		exists, err := own.exists()
		if err == nil && !exists {
			err = own.create()
		}
		if err != nil {
			return nil, fmt.Errorf("key of %s: %w", identity.Name, err)
		}
		public, err := own.public()
		if err != nil {
			return nil, fmt.Errorf("key of %s: %w", identity.Name, err)
		}
		for _, key := range public {
			users = append(users, &natsserver.NkeyUser{Nkey: key, Permissions: natsPermissions(identity.Permissions.Sorted())})
		}
	}
	return users, nil
}

func natsPermissions(p Permissions) *natsserver.Permissions {
	converted := &natsserver.Permissions{
		Publish:   &natsserver.SubjectPermission{Allow: p.Publish, Deny: p.DenyPublish},
		Subscribe: &natsserver.SubjectPermission{Allow: p.Subscribe},
	}
	if p.AllowResponses {
		converted.Response = &natsserver.ResponsePermission{MaxMsgs: maxResponses, Expires: responseWindow}
	}
	return converted
}

// Limits of the replies to one request. A large reply comes in parts, each of
// them a message. The window exceeds the longest timeout of a request.
const (
	maxResponses   = 64
	responseWindow = 30 * time.Second
)
