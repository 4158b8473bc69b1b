package fleet

import "maps"

// Disks that are created, by the object that stands for each: the ServiceAccounts
// (namespace/name) of the services that have asked for it and have had a disk ever
// since. For so long a disk is kept, although another may have taken its place.
//
// True says that the function has seen the service with that disk, and never
// without one since. Otherwise it depends on which of the edits it has seen.
type disks map[string]map[string]bool

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

// edited claim, which was another or none.
func (d disks) edited(was, c Claim) {
	now := c.disks()
	for _, s := range was.Services {
		account := c.Namespace + "/" + was.account(s)
		if now[account] != "" {
			continue
		}
		for _, users := range d {
			if users[account] {
				users[account] = false
			}
		}
	}
	for account, disk := range now {
		object := diskObject(c.Namespace, disk)
		if object == "" {
			continue
		}
		if d[object] == nil {
			d[object] = map[string]bool{}
		}
		d[object][account] = d[object][account]
	}
}

// removed claim, whose disks are forgotten with it.
func (d disks) removed(c Claim) {
	for _, users := range d {
		for _, s := range c.Services {
			delete(users, c.Namespace+"/"+c.account(s))
		}
	}
}

// mayStay says whether one of the claims' services may keep an object for what it
// was.
func (d disks) mayStay(object string, claims []Claim) bool {
	users := d[object]
	if len(users) == 0 {
		return false
	}
	for _, c := range claims {
		for account := range c.disks() {
			if _, ok := users[account]; ok {
				return true
			}
		}
	}
	return false
}

// keeps says whether a service may keep a disk that it no longer asks for.
func (d disks) keeps(c Claim, service string) bool {
	for account, disk := range c.disks() {
		if account != c.Namespace+"/"+c.account(Service{Name: service}) {
			continue
		}
		for object, users := range d {
			if _, ok := users[account]; ok && object != diskObject(c.Namespace, disk) {
				return true
			}
		}
	}
	return false
}

// settled claims, and whether an object is there.
func (d disks) settled(claims []Claim, there func(object string) bool) {
	now := map[string]string{}
	for _, c := range claims {
		maps.Copy(now, c.disks())
	}
	for object, users := range d {
		maps.DeleteFunc(users, func(account string, _ bool) bool { return now[account] == "" || !there(object) })
		for account := range users {
			users[account] = true
		}
	}
}
