import asyncio, time
from tests.mirrored import *
from tests.mirrored import MirroredNode
from node.core.transfers import State
async def test_speed(database_url, start_anvil):
    node = await MirroredNode.open(database_url, start_anvil(automine=False))
    N=2560
    t=time.perf_counter()
    sem=asyncio.Semaphore(64)
    from tests.builders import a_quote
    quotes=[a_quote(node.payer, sell_minor=100, buy_minor=BUY) for _ in range(N)]
    await node.ledger.add_quotes(*quotes)
    async def one(i,q):
        async with sem:
            r=await node.ledger.acceptance.create(node.ledger.submission(node.payer,q,address=f"0x{0xBE0000+i:040x}")); assert r.status==201, r
    await asyncio.gather(*(one(i,q) for i,q in enumerate(quotes)))
    print("accepted", time.perf_counter()-t)
    w=await node.settlement()
    for r in range(40):
        await w.run_once()
        n=(await node.rows("select count(*) n from transfer where state='submitted'"))[0]['n']
        if n==N: break
    for i in range(4):
        await w.run_once()
    print("pool", node.pool(), n, time.perf_counter()-t)
    t=time.perf_counter(); node.mine(2); print("mine", time.perf_counter()-t)
    while True:
        t=time.perf_counter(); m=await node.mirror().run_once(); dt=time.perf_counter()-t
        inc=(await node.rows("select count(*) n from transfer where state='included'"))[0]['n']
        print("pass", m, dt, inc)
        if m==0: break
    node.mine(3)
    m=node.mirror()
    from node.services import finalizing
    while True:
        t=time.perf_counter(); k=await m.run_once(); dt=time.perf_counter()-t
        inc=(await node.rows("select count(*) n from transfer where state='settled'"))[0]['n']
        print("pass", k, dt, inc)
        if k==0: break
    t=time.perf_counter(); run=await node.reconcile(); print("reconcile full", time.perf_counter()-t, failing(run), run.breaks_open)
    await node.close()
