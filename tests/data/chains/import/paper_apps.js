module.exports = [
{ name: 'test app1', appId: 'b4a3cf85-5dd8-42f7-a864-
3b2460215f8b', chain: ['test app2', 'test app3'], condition: 'ok'},
{ name: 'test app2', appId: '5f74af07-ea2f-4398-b15f-23b12abf8fef'},
{ name: 'test app3', appId: '6b57a80a-d9c4-4a0d-a5e0-f124dc68396e', chain: ['test app4'], condition: 'ok'},
{ name: 'test app4', appId: '9ffe941d-8eb9-42e5-bab2-72bac5ca4b59', chain: ['test app5'], condition: 'ok'},
{ name: 'test app5', appId: '163ca7fb-a684-4a4d-8d1c-37e3e372e1cc'},
{ name: '2nd chain1', appId: 'cdaccf05-236f-4ab6-b77a-25138ba0df2f', chain: ['2nd chain2'], condition: 'ok'},
{ name: '2nd chain2', appId: '9f824b21-d089-4e59-8596-ad1a0d483f3f', chain: ['2nd chain3a'], condition: 'ok'},
{ name: '2nd chain3a', appId: '9f824b21-d089-4e59-8596-ad1a0d483f3f', chain: ['2nd chain3b'], condition: 'error'},
{ name: '2nd chain3a', appId: 'a11e3570-2dc9-4583-8417-d48bdd18602b'},
{ name: '2nd chain3b', appId: 'db086243-b615-4fbe-8983-2832284670db'},
}
