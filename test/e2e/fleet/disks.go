package fleet

import "maps"

// Disks that are created, by the object that stands for each: the ServiceAccounts
// (namespace/name) of the services that have asked for it and have had a disk ever
// since. For so long a disk is kept, although another may have taken its place. A
// disk stays here once it was asked for: its data may be there, and then it is
// mounted without an object.
type disks map[string]map[string]standing

// A standing of a service with a disk's object.
type standing int

const (
	// maybe it is there: it depends on which of the edits the function has seen.
	maybe standing = iota

	// asked for by the service, as the first of all.
	asked

	// seen by the function with that service, which has had a disk ever since.
	seen
)

// diskObject of a disk that is created. Empty: it isn't.
func diskObject(namespace, disk string) string {
	switch disk {
	case Uploads:
		return "Object " + namespace + "/uploads"
	case Scratch:
		return "PersistentVolumeClaim " + namespace + "/scratch"
	default:
		return ""
	}
}

// disks of the services that have one, by their ServiceAccounts: what stands for it.
func (c Claim) disks() map[string]string {
	all := map[string]string{}
	for _, s := range c.Services {
		if s.Disk != "" {
			all[c.account(s.Name)] = diskObject(c.Namespace, s.Disk)
		}
	}
	return all
}

// edited claim, which was another or none.
func (d disks) edited(was, c Claim) {
	now := c.disks()
	for object, users := range d {
		for _, s := range was.Services {
			account := was.account(s.Name)
			disk, ok := now[account]
			if _, used := users[account]; used && (!ok || users[account] == asked && disk != object) {
				users[account] = maybe
			}
		}
	}
	for account, object := range now {
		if object == "" {
			continue
		}
		if d[object] == nil {
			d[object] = map[string]standing{account: asked}
		}
		d[object][account] = max(d[object][account], maybe)
	}
}

// removed claim, which keeps nothing.
func (d disks) removed(c Claim) {
	for _, users := range d {
		for _, s := range c.Services {
			delete(users, c.account(s.Name))
		}
	}
}

// settled claims, and whether an object is there.
func (d disks) settled(claims []Claim, there func(object string) bool) {
	now := map[string]string{}
	for _, c := range claims {
		maps.Copy(now, c.disks())
	}
	for object, users := range d {
		isAsked := false
		for account := range users {
			switch disk, ok := now[account]; {
			case !ok || !there(object):
				delete(users, account)
			case disk == object:
				users[account], isAsked = seen, true
			}
		}
		if len(users) == 1 && !isAsked {
			// It is there for that one. With two, it isn't known for whom.
			for account := range users {
				users[account] = seen
			}
		}
	}
}

// must be there, some object.
func (d disks) must(object string) bool {
	for _, standing := range d[object] {
		if standing > maybe {
			return true
		}
	}
	return false
}

// may be there, some object, for what one of the claims' services was.
func (d disks) may(object string, claims []Claim) bool {
	for _, c := range claims {
		for account := range c.disks() {
			if _, ok := d[object][account]; ok {
				return true
			}
		}
	}
	return false
}

// keeps says whether a service may keep a disk that it no longer asks for.
func (d disks) keeps(c Claim, service string) bool {
	account := c.account(service)
	disk, ok := c.disks()[account]
	for object, users := range d {
		if _, used := users[account]; ok && used && object != disk {
			return true
		}
	}
	return false
}
