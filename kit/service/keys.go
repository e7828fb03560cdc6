package service

import (
	"context"
	"errors"

	"lonja/kit/decider"
	"lonja/kit/eventlog"
	"lonja/kit/keyring"
	"lonja/kit/natsauth"
)

// makeKeyRing gives the log of a service that is Sealed its keys.
func (s *Service) makeKeyRing(d *deps) error {
	if !s.Sealed {
		return nil
	}
	if d.KEKs == nil {
		return errors.New("it has sealed events, so Config.KEKs is required: the file of key-encryption keys that all its replicas have; keyring.CreateKEKs makes one")
	}
	d.keys = keyring.New(d.js, d.KEKs)
	d.log.Keys = d.keys
	return nil
}

// checkKeys returns an error if the key-encryption keys are not those of the keys on the
// stream. With another file, the service could open nothing, and would wrap new keys by it.
func (s *Service) checkKeys(ctx context.Context, d *deps) error {
	if d.keys == nil {
		return nil
	}
	return d.keys.Check(ctx)
}

// DestroyKey declares that the event E destroys the key of an owner, so that no program can
// open what was sealed for them, in no copy of the log. Owner returns whose key it is; "" means
// none. Destroying twice changes nothing. The service must be Sealed.
func DestroyKey[E eventlog.Event](owner func(E) string) Handler { return &keyDestroyer[E]{owner} }

type keyDestroyer[E eventlog.Event] struct{ owner func(E) string }

func (k *keyDestroyer[E]) eventName() string { var e E; return e.EventName() }

func (k *keyDestroyer[E]) permissions() natsauth.Permissions { return keyring.PermissionsToUse() }

func (k *keyDestroyer[E]) bind(*eventlog.Log, decider.Config) {}

func (k *keyDestroyer[E]) handle(ctx context.Context, _ decider.Command, event eventlog.Record, d *deps) error {
	if d.keys == nil {
		return errors.New("the service is not declared Sealed, so it has no keys to destroy")
	}
	owner := k.owner(event.Event.(E))
	if owner == "" {
		return nil
	}
	return d.keys.Destroy(ctx, owner)
}
