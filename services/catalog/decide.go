package catalog

import (
	"lonja/events"
	"lonja/events/command"
	"lonja/kit/decider"
	"lonja/kit/errs"
)

func create(p product, c command.CreateProduct, m decider.Meta) (events.Event, error) {
	if err := m.Actor.Require(events.StaffRoles...); err != nil {
		return nil, err
	}
	if p.status != unknown {
		return nil, errs.New(errs.Conflict, "product %s already exists", c.SKU)
	}
	return events.ProductCreated{Product: c.Product}, nil
}

func change(p product, c command.ChangeProduct, m decider.Meta) (events.Event, error) {
	if c.Archives() {
		return archive(p, command.ArchiveProduct{SKU: c.SKU}, m)
	}
	if err := m.Actor.Require(events.StaffRoles...); err != nil {
		return nil, err
	}
	switch {
	case p.status == unknown:
		return nil, noSuchProduct(c.SKU)
	case p.status == archived && c.Available == nil:
		return nil, errs.New(errs.Conflict, "product %s is archived; restore it with \"available\": true", c.SKU)
	}
	next := p.Product
	set(&next.Name, c.Name)
	set(&next.Price, c.Price)
	set(&next.Description, c.Description)
	set(&next.Category, c.Category)
	set(&next.ImageURL, c.ImageURL)
	if next == p.Product && p.status == listed {
		return nil, nil
	}
	// ChangeProduct.Check sees only the fields that change, so the resulting product is
	// checked here. The log would check it too, but an error from here is returned only
	// once the latest state has been loaded.
	if err := next.Check(); err != nil {
		return nil, err
	}
	if p.status == archived {
		return events.ProductRestored{Product: next}, nil
	}
	return events.ProductChanged{Product: next}, nil
}

func archive(p product, c command.ArchiveProduct, m decider.Meta) (events.Event, error) {
	if err := m.Actor.Require(events.StaffRoles...); err != nil {
		return nil, err
	}
	switch p.status {
	case unknown:
		return nil, noSuchProduct(c.SKU)
	case archived:
		return nil, nil
	}
	return events.ProductArchived{SKU: c.SKU}, nil
}

// set assigns a value to a field unless the value is nil.
func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

func noSuchProduct(sku events.SKU) error {
	return errs.New(errs.NotFound, "there is no product %s", sku)
}
